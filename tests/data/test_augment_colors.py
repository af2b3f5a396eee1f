"""Color jitter against Pillow, whose enhancers torchvision calls; cutout and mixup against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ddpm_jax import pixels
from ddpm_jax.data import augment_colors

JITTER = {
    "brightness": (augment_colors.brightness, ImageEnhance.Brightness),
    "contrast": (augment_colors.contrast, ImageEnhance.Contrast),
    "saturation": (augment_colors.saturation, ImageEnhance.Color),
}


def jitted(change, **options):
    return jax.jit(functools.partial(change, **options))


def photos(num, size=12, channels=3):
    rng = np.random.default_rng(9)
    return rng.integers(0, 256, (num, size, size, channels)).astype(np.uint8)


def factors(keys, amount):
    low = max(0.0, 1 - amount)
    return [float(jax.random.uniform(k, (), minval=low, maxval=1 + amount)) for k in keys]


@pytest.mark.parametrize("amount", [0.4, 1.5])
@pytest.mark.parametrize("name", JITTER)
def test_jitter_agrees_with_pillow_on_photos_of_bytes_and_of_floats(name, amount, key):
    change, enhancer = JITTER[name]
    images, keys = photos(20), jax.random.split(key, 20)
    found = np.asarray(jitted(change, amount=amount)(keys, images))
    floats = jitted(change, amount=amount)(keys, pixels.to_float(jnp.asarray(images)))
    assert found.dtype == np.uint8 and floats.dtype == np.float32
    for i, factor in enumerate(factors(keys, amount)):
        wanted = np.asarray(enhancer(Image.fromarray(images[i])).enhance(factor), float)
        # Pillow rounds gray values and means to bytes before they are multiplied.
        np.testing.assert_allclose(found[i], wanted, atol=1 + max(1, abs(1 - factor)))
        np.testing.assert_allclose(pixels.to_uint8(floats[i]), found[i].astype(float), atol=1)
    low, high = min(factors(keys, amount)), max(factors(keys, amount))
    assert low < 0.85 and high > 1.15  # both sides were drawn


def test_a_gray_photo_has_no_saturation_but_contrast(key):
    images, keys = photos(4, channels=1), jax.random.split(key, 4)
    np.testing.assert_array_equal(
        jitted(augment_colors.saturation, amount=0.9)(keys, images), images
    )
    for image, factor, found in zip(
        images,
        factors(keys, 0.5),
        jitted(augment_colors.contrast, amount=0.5)(keys, images),
        strict=True,
    ):
        wanted = np.clip(factor * image + (1 - factor) * image.mean(), 0, 255)
        np.testing.assert_allclose(found, wanted, atol=0.51)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["uint8", "float32"])
def test_cutout_leaves_all_but_a_square_of_the_mean_color(dtype, key):
    images = photos(300, size=8).astype(dtype)
    out = np.asarray(jitted(augment_colors.cutout, share=0.5)(jax.random.split(key, 300), images))
    assert out.dtype == dtype
    means = images.astype(float).mean((1, 2), keepdims=True)
    tops = set()
    for image, mean, cut in zip(images, means, out, strict=True):
        gone = (cut != image).any(-1)
        rows, columns = np.flatnonzero(gone.any(1)), np.flatnonzero(gone.any(0))
        assert 2 <= len(rows) <= 4 and 2 <= len(columns) <= 4  # of 8, a part may be outside
        inside = cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float)
        np.testing.assert_allclose(inside, np.broadcast_to(mean[0], inside.shape), atol=0.51)
        tops.add((rows[0], columns[0], rows[-1], columns[-1]))
    assert len(tops) > 55  # of 64 middles


def test_mixup_mixes_neighbors_and_their_labels_alike(key):
    num = 4001  # no two neighbors have the same class, the first and the last neither
    images = jnp.asarray(np.random.default_rng(0).normal(size=(num, 2, 2, 1)), jnp.float32)
    labels = jax.nn.one_hot(np.arange(num) % 3, 3)
    mix = jitted(augment_colors.mixup, alpha=0.4)
    x, y = map(np.asarray, mix(jax.random.split(key, num), images, labels))
    share = y[np.arange(num), np.arange(num) % 3]
    assert np.all((share >= 0) & (share <= 1))
    before = (np.arange(num) - 1) % num
    weight = share[:, None, None, None]
    wanted = weight * np.asarray(images) + (1 - weight) * np.asarray(images)[before]
    np.testing.assert_allclose(x, wanted, atol=1e-5)
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
    # Beta(a, a) has mean 1/2 and variance 1 / (8 a + 4): four standard deviations of 4,000 draws.
    assert abs(share.mean() - 0.5) < 4 * (1 / 7.2 / num) ** 0.5
    assert share.var() == pytest.approx(1 / 7.2, rel=0.06)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "cutout"])
def test_images_do_not_know_their_batch(name, key):
    option = {"share": 0.5} if name == "cutout" else {"amount": 0.5}
    apply = jitted(getattr(augment_colors, name), **option)
    images, keys = photos(8), jax.random.split(key, 8)
    out = np.asarray(apply(keys, images))
    assert (out != images).any((1, 2, 3)).all()
    np.testing.assert_array_equal(apply(keys[::-1], images[::-1])[::-1], out)
