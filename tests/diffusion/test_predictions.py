import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import predictions, process, schedules
from ddpm_jax.diffusion.schedules import Level

KINDS = ("eps", "x0", "v")
READERS = {"eps": predictions.from_eps, "x0": predictions.from_x0, "v": predictions.from_v}
LEVELS = {
    "variance-preserving": Level(jnp.float32(1), jnp.float32(0.8), jnp.float32(0.6)),
    "alpha one": Level(jnp.float32(1), jnp.float32(1.0), jnp.float32(2.5)),
    "blend": Level(jnp.float32(1), jnp.float32(0.7), jnp.float32(0.3)),
}


@pytest.fixture
def images(key):
    return tuple(jax.random.normal(k, (3, 2, 2, 1)) for k in jax.random.split(key))


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_every_cycle_of_conversions_returns_to_its_start(first, second, level, images):
    x0, eps = images
    xt = process.noise(x0, level, eps)
    one = READERS[first](xt, predictions.target(first, x0, eps, level), level)
    two = READERS[second](xt, predictions.target(second, one.x0, one.eps, level), level)
    np.testing.assert_allclose(two.x0, x0, atol=1e-5)
    np.testing.assert_allclose(two.eps, eps, atol=1e-5)


def test_targets_by_hand():
    x0, eps = jnp.full((1, 1, 1, 1), 2.0), jnp.full((1, 1, 1, 1), 3.0)
    level = LEVELS["variance-preserving"]
    assert predictions.target("eps", x0, eps, level) == 3.0
    assert predictions.target("x0", x0, eps, level) == 2.0
    assert predictions.target("v", x0, eps, level) == pytest.approx(0.8 * 3.0 - 0.6 * 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_denoiser_hands_the_network_one_t_per_image(kind, images):
    table = schedules.cosine(100)
    x0, eps = images
    denoise = predictions.denoiser(oracle.predict(table, kind), kind)
    for level in (table[40], table[jnp.array([1, 40, 99])]):
        xt = process.noise(x0, level, eps)
        got, wanted = denoise(xt, level), oracle.denoise(xt, level)
        np.testing.assert_allclose(got.x0, wanted.x0, atol=1e-4)
        np.testing.assert_allclose(got.eps, wanted.eps, atol=1e-4)


def test_unknown_kinds_are_refused_by_name():
    message = "prediction kind 'noise'; known are eps, x0, v"
    with pytest.raises(ValueError, match=message):
        predictions.denoiser(lambda xt, t: xt, "noise")
    with pytest.raises(ValueError, match=message):
        x = jnp.zeros((1, 1, 1, 1))
        predictions.target("noise", x, x, LEVELS["blend"])


def test_clipping_moves_the_image_and_never_xt():
    level = LEVELS["variance-preserving"]
    xt = jnp.array([-3.0, 0.1, 3.0]).reshape(3, 1, 1, 1)

    def denoise(xt, level):
        return predictions.from_x0(xt, 2.0 * xt, level)

    got = predictions.clipped(denoise)(xt, level)
    np.testing.assert_allclose(got.x0.ravel(), [-1.0, 0.2, 1.0])
    np.testing.assert_allclose(process.noise(got.x0, level, got.eps), xt, rtol=1e-6)
    narrow = predictions.clipped(denoise, low=0.0, high=0.15)(xt, level)
    np.testing.assert_allclose(narrow.x0.ravel(), [0.0, 0.15, 0.15])


def test_a_second_half_of_the_channels_is_the_variance(images):
    x0, eps = images
    level = LEVELS["variance-preserving"]
    xt = process.noise(x0, level, eps)

    def predict(xt, t):
        return jnp.concatenate([eps, jnp.zeros_like(eps)], axis=-1)

    got = predictions.denoiser_with_variance(predict, "eps")(xt, level)
    np.testing.assert_allclose(got.x0, x0, atol=1e-5)
    np.testing.assert_array_equal(got.eps, eps)
    np.testing.assert_array_equal(got.variance_fraction, 0.5)
    kept = predictions.clipped(predictions.denoiser_with_variance(predict, "eps"))(xt, level)
    np.testing.assert_array_equal(kept.variance_fraction, 0.5)
