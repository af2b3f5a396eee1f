import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import edm, process, schedules
from ddpm_jax.diffusion.schedules import Level

LEVELS = {"edm": schedules.karras(18)[1:], "cosine": schedules.cosine(18)[1:]}


def optimal(xt, c_noise):
    """The network whose denoiser is exact for N(0, 0.5^2): c_skip x is that denoiser already."""
    return jnp.zeros_like(xt)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_an_output_of_zero_is_exact_for_gaussian_data_of_sigma_data(levels, key):
    xt = jax.random.normal(key, (18, 2, 2, 1))
    got = edm.denoiser(optimal, sigma_data=0.5)(xt, levels)
    wanted = oracle.x0_hat(xt, levels, mean=0.0, std=0.5)
    np.testing.assert_allclose(got.x0, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(process.noise(got.x0, levels, got.eps), xt, rtol=1e-4, atol=1e-5)


def test_the_network_sees_unit_variance_and_a_quarter_of_log_sigma(key):
    seen = []

    def predict(x, c_noise):
        seen.append((x, c_noise))
        return x

    level = Level(jnp.float32(2.0), jnp.float32(1.0), jnp.float32(2.0))
    x0_key, eps_key = jax.random.split(key)
    x0 = 0.5 * jax.random.normal(x0_key, (500, 4, 4, 1))
    xt = process.noise(x0, level, jax.random.normal(eps_key, x0.shape))
    got = edm.denoiser(predict)(xt, level)
    assert jnp.std(seen[0][0]) == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(seen[0][1], np.full(500, np.log(2.0) / 4), rtol=1e-6)
    # Table 1 by hand: c_skip = 0.25 / 4.25, c_out = 1 / sqrt(4.25), c_in = 1 / sqrt(4.25).
    np.testing.assert_allclose(got.x0, (0.25 / 4.25 + 1 / 4.25) * xt, rtol=1e-4, atol=1e-6)


def test_an_untrained_network_has_a_loss_of_one_at_every_level(key):
    """App. B.6 of the paper: the effective target of the network has unit variance."""
    x0_key, eps_key = jax.random.split(key)
    x0 = 0.5 * jax.random.normal(x0_key, (3, 40, 40, 2))
    level = schedules.karras(18)[jnp.array([2, 9, 18])]
    eps = jax.random.normal(eps_key, x0.shape)
    got = edm.loss(edm.denoiser(optimal), x0, level, eps)
    np.testing.assert_allclose(got, 1.0, atol=0.1)


def test_training_levels_are_lognormal(key):
    level = edm.sample_levels(key, 20_000, mean=-1.2, std=1.2)
    assert jnp.mean(jnp.log(level.sigma)) == pytest.approx(-1.2, abs=0.04)
    assert jnp.std(jnp.log(level.sigma)) == pytest.approx(1.2, abs=0.04)
    np.testing.assert_array_equal(level.alpha, 1.0)
    np.testing.assert_array_equal(level.t, level.sigma)
