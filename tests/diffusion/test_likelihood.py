import functools

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ddpm_jax.diffusion import likelihood, predictions, process, schedules

STD = 0.2  # so that hardly a gray value is cut off at 255
# 400,000 pixels: the bound's Monte Carlo error is about 0.002 bits/dim.
NUM, SHAPE = 400, (32, 32, 1)


@pytest.fixture(scope="module")
def images():
    """Gray values of N(mean, std^2), in [-1, 1]."""
    values = oracle.MEAN + STD * np.random.default_rng(0).normal(size=(NUM, *SHAPE))
    gray = np.clip(np.round((values + 1.0) * 127.5), 0, 255)
    return jnp.asarray(gray / 127.5 - 1.0, jnp.float32)


def exact_bits(images):
    """-log2 of the Gaussian's mass on each gray value, the mean over each image."""
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 127.5 - 1.0, [np.inf]])
    mass = np.diff(scipy.stats.norm.cdf(edges, oracle.MEAN, STD))
    gray = np.round((images + 1.0) * 127.5).astype(int)
    return -np.log2(mass[gray]).mean(axis=(1, 2, 3))


def denoise(xt, level):
    return predictions.from_x0(xt, oracle.x0_hat(xt, level, std=STD), level)


def exact_reverse(table):
    """The oracle with the variance of p(x_nxt | x_now), which for Gaussian data is Gaussian."""

    def denoise_with_variance(xt, now):
        now, nxt = schedules.step_to(table, now.t.astype(jnp.int32))
        small, large = (
            process.reverse_log_variance(name, now, nxt) for name in ("posterior", "beta")
        )
        x0_variance = (STD * now.sigma) ** 2 / ((now.alpha * STD) ** 2 + now.sigma**2)
        slope = nxt.alpha * process.transition(now, nxt)[1] / now.sigma**2
        wanted = jnp.log(jnp.exp(small) + slope**2 * x0_variance)
        fraction = jnp.where(large > small, (wanted - small) / (large - small), 0.0)
        return denoise(xt, now)._replace(variance_fraction=jnp.full_like(xt, fraction))

    return denoise_with_variance


@functools.partial(jax.jit, static_argnames="variance")
def bound(table, x0, keys, variance):
    network = exact_reverse(table) if variance == "learned" else denoise
    return likelihood.variational_bound(network, table[::-1], x0, keys, variance)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_bound_closes_in_on_the_exact_value_as_steps_grow(variance, images, key):
    """With a fixed variance the gap is of first order in the step."""
    images = images[:64]
    keys = jax.random.split(key, 64)
    exact = exact_bits(images).mean()
    tables = [schedules.from_log_snr(np.linspace(9.2, -12.0, num)) for num in (30, 60)]
    gaps = [float(bound(table, images, keys, variance).total.mean()) - exact for table in tables]
    assert gaps[0] > gaps[1] > 0.0
    assert gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.3)


def test_with_the_exact_reverse_process_the_bound_is_the_exact_value(images, key):
    table = schedules.from_log_snr(np.linspace(9.2, -12.0, 25))
    got = bound(table, images, jax.random.split(key, NUM), "learned").total.mean()
    assert -5e-3 < float(got) - exact_bits(images).mean() < 1e-2


def test_all_parts_of_the_bound_are_positive_and_the_prior_is_known(images, key):
    images = images[:64]
    table = schedules.linear(50, 1e-4, 0.3)
    parts = bound(table, images, jax.random.split(key, 64), "beta")
    assert np.all(parts.diffusion > 0.0) and np.all(parts.decoder > 0.0)
    np.testing.assert_allclose(parts.total, parts.prior + parts.diffusion + parts.decoder)
    # KL(N(alpha x0, 1 - alpha^2) || N(0, 1)), by hand.
    alpha_bar = np.prod(1 - np.linspace(1e-4, 0.3, 50))
    squares = np.mean(np.square(images), axis=(1, 2, 3))
    kl = 0.5 * (alpha_bar * squares - alpha_bar - np.log1p(-alpha_bar)) / np.log(2)
    np.testing.assert_allclose(parts.prior, kl, atol=1e-6)


def test_the_flow_likelihood_is_the_exact_density(images, key):
    levels = schedules.descending(schedules.cosine(1000), 200, "log_snr")
    keys = jax.random.split(key, 16)
    x0 = likelihood.dequantized(keys, images[:16])
    got = jax.jit(functools.partial(likelihood.flow_log_likelihood, denoise))(levels, x0, keys)
    exact = scipy.stats.norm.logpdf(x0, oracle.MEAN, STD).sum(axis=(1, 2, 3))
    got, exact = (likelihood.bits_per_dim(jnp.asarray(nats), 1024) for nats in (got, exact))
    np.testing.assert_allclose(got, exact, atol=1e-2)
    # Uniform dequantization costs little: its bits/dim is that of the gray values.
    assert got.mean() == pytest.approx(exact_bits(images[:16]).mean(), abs=1e-2)


def test_hutchinsons_estimate_is_right_in_the_mean_where_pixels_depend_on_each_other(key):
    """Four pixels with a full covariance, against scipy's multivariate normal."""
    factor = np.random.default_rng(1).normal(size=(4, 4)) * 0.4
    covariance = (factor @ factor.T + 0.05 * np.eye(4)).astype(np.float32)

    def denoise(xt, level):
        noised = level.alpha**2 * covariance + level.sigma**2 * jnp.eye(4)
        matrix = level.alpha * covariance @ jnp.linalg.inv(noised)
        x0 = (xt.reshape(-1, 4) @ matrix.T).reshape(xt.shape)
        return predictions.from_x0(xt, x0, level)

    levels = schedules.descending(schedules.cosine(1000), 100, "log_snr")
    x0 = np.random.default_rng(2).multivariate_normal(np.zeros(4), covariance, size=1)
    batch = jnp.asarray(np.repeat(x0, 50, axis=0).reshape(50, 2, 2, 1), jnp.float32)
    got = jax.jit(
        lambda keys: likelihood.flow_log_likelihood(denoise, levels, batch, keys, num_probes=8)
    )(jax.random.split(key, 50))
    exact = scipy.stats.multivariate_normal.logpdf(x0[0], np.zeros(4), covariance)
    assert jnp.std(got) > 0.0
    assert jnp.mean(got) == pytest.approx(exact, abs=4 * float(jnp.std(got)) / np.sqrt(50) + 0.02)


def test_dequantization_stays_in_its_bin(images, key):
    x0 = likelihood.dequantized(jax.random.split(key, NUM), images)
    assert np.abs(x0 - images).max() <= 1 / 255 + 1e-6
    assert np.std(x0 - images) == pytest.approx(1 / 255 / np.sqrt(3), rel=0.05)


def test_bits_per_dim_of_a_uniform_density_is_eight():
    np.testing.assert_allclose(
        likelihood.bits_per_dim(jnp.array([16 * np.log(0.5 * 255 / 256)]), 16), [8.0], rtol=1e-5
    )
