import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ddpm_jax.diffusion import process, schedules, variational
from ddpm_jax.diffusion.predictions import Prediction

GRAYS = (np.arange(256) / 127.5 - 1.0).astype(np.float32)
TABLE = schedules.linear(1000)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (-0.9, 0.05), (1.2, 0.01)])
def test_the_masses_of_all_gray_values_add_to_one(mean, std):
    x0 = jnp.asarray(GRAYS).reshape(256, 1, 1, 1)
    log_variance = jnp.float32(2 * np.log(std))
    got = variational.discretized_log_likelihood(x0, jnp.full_like(x0, mean), log_variance)
    assert jnp.exp(got).sum() == pytest.approx(1.0, abs=1e-4)
    edges = np.concatenate([[-np.inf], (GRAYS[:-1] + GRAYS[1:]) / 2, [np.inf]])
    mass = np.diff(scipy.stats.norm.cdf(edges, mean, std))
    seen = mass > 1e-4
    np.testing.assert_allclose(jnp.exp(got).ravel()[seen], mass[seen], rtol=5e-3)


def test_far_tails_keep_a_finite_value_and_gradient():
    x0 = jnp.asarray(GRAYS[[0, 3, 255]]).reshape(3, 1, 1, 1)

    def value(mean):
        return variational.discretized_log_likelihood(x0, mean, jnp.float32(-9.2)).sum()

    for mean in (-1.0, 0.0, 1.0):
        got, gradient = jax.value_and_grad(value)(jnp.full_like(x0, mean))
        assert np.isfinite(got) and np.all(np.isfinite(gradient))


def test_a_term_is_the_divergence_of_the_two_posteriors(key):
    """With equal variances: the squared distance of the means over twice the variance, by hand."""
    x0 = jnp.full((2, 2, 2, 1), 0.2)
    now, nxt = TABLE[500], TABLE[499]
    xt = process.noise(x0, now, jax.random.normal(key, x0.shape))
    off = Prediction(x0 + 0.1, x0)
    got = variational.term(off, x0, xt, now, nxt, "posterior")
    beta = np.linspace(1e-4, 0.02, 1000)[499]
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[[498, 499]]
    distance = np.sqrt(alpha_bar[0]) * beta / (1 - alpha_bar[1]) * 0.1  # Ho et al. 2020, eq. 7
    variance = (1 - alpha_bar[0]) / (1 - alpha_bar[1]) * beta
    np.testing.assert_allclose(got, distance**2 / (2 * variance) / np.log(2), rtol=2e-3)
    perfect = variational.term(Prediction(x0, x0), x0, xt, now, nxt, "posterior")
    np.testing.assert_allclose(perfect, 0.0, atol=1e-7)


def test_the_last_term_is_the_decoder_even_in_a_batch_of_levels(key):
    x0 = jnp.full((2, 2, 2, 1), GRAYS[150])
    now, nxt = schedules.step_to(TABLE, jnp.array([1, 500]))
    xt = process.noise(x0, now, jax.random.normal(key, x0.shape))
    got = variational.term(Prediction(x0, x0), x0, xt, now, nxt, "beta")
    mass = 2 * scipy.stats.norm.cdf(1 / 255 / 0.01) - 1  # beta_1 = 1e-4
    assert got[0] == pytest.approx(-np.log2(mass), rel=1e-4)
    assert 0.0 < got[1] < 0.01  # equal means, beta for the variance instead of the posterior's
