"""Augmentation: what moves, how often, and that nothing else does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from ddpm_jax.data import augment

ALL = {
    "flip": augment.horizontal_flip,
    "pad_crop": augment.pad_crop,
    "crop": augment.random_resized_crop,
    "rotate": augment.rotate,
    "zoom": augment.zoom,
    "sometimes": augment.sometimes(augment.rotate, 0.5),
    "composed": augment.compose(augment.horizontal_flip, augment.pad_crop),
}


def told(augmentation, **options):
    return jax.jit(functools.partial(augmentation, **options))


def jitted(augmentation, **options):
    """The images alone."""
    return jax.jit(lambda keys, images: augmentation(keys, images, **options)[0])


def photos(n, size=12, dtype=np.uint8):
    rng = np.random.default_rng(9)
    return jnp.asarray(rng.integers(0, 256, (n, size, size, 3)).astype(dtype))


@pytest.mark.parametrize("name", ALL)
def test_the_same_keys_agree_others_differ_and_images_do_not_know_their_batch(name):
    images = photos(8)
    apply = jitted(ALL[name])
    keys = jax.random.split(jax.random.key(1), 8)
    one, same, other = (apply(k, images) for k in (keys, keys, jax.random.split(keys[0], 8)))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    reversed_batch = apply(keys[::-1], images[::-1])
    np.testing.assert_array_equal(reversed_batch[::-1], one)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["uint8", "float32"])
def test_shape_type_and_range_are_kept(name, dtype, key):
    images = photos(16, dtype=dtype)
    out = jitted(ALL[name])(jax.random.split(key, 16), images)
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    # Linear interpolation and reflection stay between the smallest and the largest pixel; there is
    # no black, white or gray that the image did not have.
    limits = np.asarray(images).astype(float)
    assert out.min() >= limits.min() - 1e-3
    assert out.max() <= limits.max() + 1e-3


def test_about_half_of_the_images_are_mirrored_and_the_rest_are_not_touched(key):
    row = jnp.arange(4, dtype=jnp.uint8)[None, None, :, None]
    images = jnp.tile(row, (2000, 1, 1, 1))
    flipped = np.asarray(jitted(augment.horizontal_flip)(jax.random.split(key, 2000), images))
    mirrored = (flipped[:, 0, :, 0] == [3, 2, 1, 0]).all(1)
    untouched = (flipped[:, 0, :, 0] == [0, 1, 2, 3]).all(1)
    assert (mirrored ^ untouched).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / 2000**0.5  # four standard deviations


def test_pad_crop_gives_every_window_of_the_padded_image_equally_often(key):
    image = np.arange(12, dtype=np.int32).reshape(3, 4, 1)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "symmetric")
    windows = [padded[y : y + 3, x : x + 4].tobytes() for y in range(3) for x in range(3)]
    images = jnp.tile(jnp.asarray(image)[None], (9000, 1, 1, 1))
    out = jitted(augment.pad_crop, padding=1)(jax.random.split(key, 9000), images)
    drawn = [window.tobytes() for window in np.asarray(out)]
    counts = np.array([drawn.count(window) for window in windows])
    assert counts.sum() == 9000
    # Chi-squared with 8 degrees of freedom is below 26.1 with probability 0.999.
    assert ((counts - 1000) ** 2 / 1000).sum() < 26.1


def test_a_crop_of_the_whole_image_is_the_image(key):
    images = photos(4)
    crop = jitted(augment.random_resized_crop, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    np.testing.assert_array_equal(crop(jax.random.split(key, 4), images), images)


def test_crops_have_the_area_the_shape_and_the_place_that_were_asked_for(key):
    """On a ramp, linear interpolation is exact inside: the box can be read off the result."""
    size = 64
    y, x = np.indices((size, size), np.float32)
    ramps = jnp.tile(jnp.asarray(np.stack([y, x], -1))[None], (500, 1, 1, 1))
    crop = jitted(augment.random_resized_crop, scale=(0.3, 0.6), ratio=(0.8, 1.25))
    out = np.asarray(crop(jax.random.split(key, 500), ramps), np.float64)
    middle = slice(16, 48)
    step_y = np.polyfit(np.arange(16, 48), out[:, middle, 32, 0].T, 1)[0]
    step_x = np.polyfit(np.arange(16, 48), out[:, 32, middle, 1].T, 1)[0]
    area, ratio = step_y * step_x, step_x / step_y  # in units of the image, width to height
    assert 0.3 - 1e-3 < area.min() < 0.32 < 0.58 < area.max() < 0.6 + 1e-3
    assert 0.8 - 1e-3 < ratio.min() < 0.83 < 1.2 < ratio.max() < 1.25 + 1e-3
    assert abs(area.mean() - 0.45) < 4 * (0.3 / 12**0.5) / 500**0.5
    assert abs(np.log(ratio).mean()) < 4 * (np.log(1.25 / 0.8) / 12**0.5) / 500**0.5
    center = out[:, 31:33, 31:33].mean((1, 2)) - (size - 1) / 2
    assert np.all(np.abs(center.mean(0)) < 4 * center.std(0) / 500**0.5)
    assert center.std(0).min() > 3


def test_a_box_wider_than_the_image_is_cut_to_it(key):
    ramp = jnp.tile(jnp.arange(16, dtype=jnp.float32)[None, None, :, None], (4, 16, 1, 1))
    crop = jitted(augment.random_resized_crop, scale=(0.9, 0.9), ratio=(3.0, 3.0))
    np.testing.assert_allclose(
        crop(jax.random.split(key, 4), ramp), ramp, atol=1e-5
    )  # full width: columns stay where they are


def test_rotation_agrees_with_scipy(key):
    images = photos(3, size=9, dtype=np.float32)
    keys = jax.random.split(key, 3)
    out = np.asarray(jitted(augment.rotate, degrees=30.0)(keys, images))
    for k, image, turned in zip(keys, np.asarray(images), out, strict=True):
        angle = float(jax.random.uniform(k, (), minval=-30.0, maxval=30.0))
        expected = scipy.ndimage.rotate(image, angle, reshape=False, order=1, mode="reflect")
        np.testing.assert_allclose(turned, expected, atol=0.05)


def test_angles_are_uniform_on_both_sides(key):
    """A horizontal ramp turned by a has slope cos a across and -sin a or sin a down."""
    ramp = jnp.tile(jnp.arange(17, dtype=jnp.float32)[None, None, :, None], (1000, 17, 1, 1))
    out = np.asarray(jitted(augment.rotate, degrees=20.0)(jax.random.split(key, 1000), ramp))
    down = out[:, 9, 8, 0] - out[:, 7, 8, 0]
    angles = np.degrees(np.arcsin(np.clip(down / 2, -1, 1)))
    assert 19 < angles.max() <= 20.01
    assert -20.01 <= angles.min() < -19
    assert abs(angles.mean()) < 4 * (40 / 12**0.5) / 1000**0.5
    assert abs(angles.std() - 40 / 12**0.5) < 0.6


def test_turning_a_constant_image_leaves_no_corner(key):
    white = jnp.full((8, 16, 16, 1), 255, jnp.uint8)
    turned = jitted(augment.rotate, degrees=45.0)(jax.random.split(key, 8), white)
    np.testing.assert_array_equal(turned, white)


def test_composed_augmentations_have_keys_of_their_own(key):
    """Two flips with one key would undo each other; with keys of their own only half of them do."""
    images = photos(200)
    twice = augment.compose(augment.horizontal_flip, augment.horizontal_flip)
    out = np.asarray(jitted(twice)(jax.random.split(key, 200), images))
    untouched = (out == np.asarray(images)).all((1, 2, 3)).mean()
    assert 0.35 < untouched < 0.65
    nothing, changes = augment.compose()(jax.random.split(key, 200), images)
    np.testing.assert_array_equal(nothing, images)
    assert changes.shape == (200, 0)


def test_a_flip_and_a_shift_are_told_as_they_were_made(key):
    images = photos(100)
    change = augment.compose(
        functools.partial(augment.pad_crop, padding=2), augment.horizontal_flip
    )
    out, changes = jax.jit(change)(jax.random.split(key, 100), images)
    assert changes.shape == (100, 3) and np.abs(changes).max() == 1.0
    for image, got, (y, x, flip) in zip(np.asarray(images), np.asarray(out), changes, strict=True):
        moved = augment.window(image[None], round(2 * float(y)), round(2 * float(x)), padding=2)
        np.testing.assert_array_equal(got, (augment.mirrored(moved) if flip else moved)[0])


def test_an_angle_is_told_as_a_share_of_the_largest(key):
    images = photos(4, size=9, dtype=np.float32)
    out, changes = told(augment.rotate, degrees=30.0)(jax.random.split(key, 4), images)
    for image, turned, (share,) in zip(np.asarray(images), np.asarray(out), changes, strict=True):
        expected = scipy.ndimage.rotate(
            image, 30.0 * float(share), reshape=False, order=1, mode="reflect"
        )
        np.testing.assert_allclose(turned, expected, atol=0.05)


def ramps(n, size):
    """On a ramp, linear interpolation is exact: where a pixel is from can be read off it."""
    y, x = np.indices((size, size), np.float32)
    return jnp.tile(jnp.asarray(np.stack([y, x], -1))[None], (n, 1, 1, 1))


def test_a_zoom_is_told_and_magnifies_by_what_is_told(key):
    out, changes = told(augment.zoom, most=1.5)(jax.random.split(key, 500), ramps(500, 33))
    share = np.asarray(changes)[:, 0]
    assert -1.0 <= share.min() < -0.95 and 0.95 < share.max() <= 1.0
    assert abs(share.mean()) < 4 * (2 / 12**0.5) / 500**0.5
    # Pixels one apart in the middle were 1 / factor apart; the center stays where it is.
    apart = np.stack([out[:, 17, 16, 0] - out[:, 16, 16, 0], out[:, 16, 17, 1] - out[:, 16, 16, 1]])
    np.testing.assert_allclose(apart, np.tile(1.5**-share, (2, 1)), rtol=1e-4)
    np.testing.assert_allclose(out[:, 16, 16], 16.0, atol=1e-4)


def test_a_crop_is_told_by_what_is_cut_and_where(key):
    size, scale, ratio = 64, (0.3, 0.6), (0.8, 1.25)
    crop = told(augment.random_resized_crop, scale=scale, ratio=ratio)
    out, changes = crop(jax.random.split(key, 300), ramps(300, size))
    changes = np.asarray(changes)
    assert np.abs(changes).max() <= 1.0 + 1e-6 and changes[:, :2].min() >= 0.0
    most = 1 - (0.3 * 0.8) ** 0.5  # of the narrowest box
    for axis in (0, 1):
        along = np.asarray(out)[:, 31:33, 31:33, axis].mean((1, 2))
        ends = (
            np.asarray(out)[:, [16, 47], 32, 0]
            if axis == 0
            else np.asarray(out)[:, 32, [16, 47], 1]
        )
        side = (ends[:, 1] - ends[:, 0]) / 31  # of the box, as a share of the image's
        np.testing.assert_allclose(changes[:, axis] * most, 1 - side, atol=1e-3)
        center = 2 * (along - (size - 1) / 2) / size
        np.testing.assert_allclose(changes[:, 2 + axis] * most, center, atol=1e-3)


def test_a_change_that_is_not_made_is_told_as_zero(key):
    images = photos(4000, size=4)
    shift = functools.partial(augment.pad_crop, padding=1)
    out, changes = jax.jit(augment.sometimes(shift, 0.25))(jax.random.split(key, 4000), images)
    same = (np.asarray(out) == np.asarray(images)).all((1, 2, 3))
    still = (np.asarray(changes) == 0).all(1)
    np.testing.assert_array_equal(same, still)
    # 8 of the 9 windows move the image.
    rate = 0.25 * 8 / 9
    assert abs(1 - still.mean() - rate) < 4 * (rate * (1 - rate) / 4000) ** 0.5
