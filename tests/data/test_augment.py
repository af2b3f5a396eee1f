import jax
import jax.numpy as jnp
import numpy as np

from ddpm_jax.data import augment


def test_about_half_of_the_images_are_mirrored_and_the_rest_are_not_touched(key):
    row = jnp.arange(4, dtype=jnp.uint8)[None, None, :, None]
    images = jnp.tile(row, (2000, 1, 1, 1))
    flipped = np.asarray(jax.jit(augment.horizontal_flip)(jax.random.split(key, 2000), images))
    mirrored = (flipped[:, 0, :, 0] == [3, 2, 1, 0]).all(1)
    untouched = (flipped[:, 0, :, 0] == [0, 1, 2, 3]).all(1)
    assert (mirrored ^ untouched).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / 2000**0.5  # four standard deviations
    assert flipped.dtype == np.uint8


def test_the_same_keys_agree_and_others_differ():
    images = jax.random.normal(jax.random.key(9), (64, 4, 4, 3))
    one, same, other = (
        augment.horizontal_flip(jax.random.split(jax.random.key(seed), 64), images)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_an_image_does_not_depend_on_its_batch(key):
    images = jax.random.normal(jax.random.key(9), (8, 4, 4, 3))
    keys = jax.random.split(key, 8)
    whole = augment.horizontal_flip(keys, images)
    part = augment.horizontal_flip(keys[3:5], images[3:5])
    np.testing.assert_array_equal(part, whole[3:5])
