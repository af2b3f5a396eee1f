import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import process, schedules

TABLE = schedules.linear(1000)


def test_noise_has_the_closed_form_mean_and_standard_deviation(key):
    # At t = 250 sigma is 0.69; its square, 0.48, taken for a standard deviation, would show here.
    level = TABLE[250]
    eps = jax.random.normal(key, (2000, 4, 4, 1))
    xt = process.noise(jnp.full(eps.shape, 0.8), level, eps)
    assert jnp.mean(xt) == pytest.approx(0.8 * float(level.alpha), abs=0.02)
    assert jnp.std(xt) == pytest.approx(
        np.sqrt(1 - np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:250])), abs=0.01
    )


def test_each_image_of_a_batch_has_its_own_level():
    x0 = jnp.ones((2, 1, 1, 1))
    xt = process.noise(x0, TABLE[jnp.array([0, 1000])], jnp.zeros_like(x0))
    np.testing.assert_allclose(xt[:, 0, 0, 0], [1.0, TABLE.alpha[1000]])


def test_one_step_at_a_time_agrees_with_all_at_once():
    """alpha and sigma of x_T, composed from the transitions, are those of the table."""
    alpha, variance = 1.0, 0.0
    for t in range(1, 51):
        ratio, added = process.transition(TABLE[t], TABLE[t - 1])
        alpha, variance = ratio * alpha, ratio**2 * variance + added
    assert alpha == pytest.approx(float(TABLE.alpha[50]), rel=1e-5)
    assert variance == pytest.approx(float(TABLE.sigma[50] ** 2), rel=1e-4)


@pytest.mark.parametrize("t", [1, 2, 500, 1000])
def test_transition_variance_is_beta(t):
    beta = np.linspace(1e-4, 0.02, 1000)[t - 1]
    ratio, variance = process.transition(TABLE[t], TABLE[t - 1])
    assert variance == pytest.approx(beta, rel=1e-3)
    assert ratio == pytest.approx(np.sqrt(1 - beta), rel=1e-5)


LEVELS = {
    "variance-preserving": ((0.6, 0.8), (0.8, 0.6)),
    "alpha one": ((1.0, 3.0), (1.0, 2.0)),
    "blend": ((0.3, 0.7), (0.6, 0.4)),
}


@pytest.mark.parametrize(("now", "nxt"), LEVELS.values(), ids=LEVELS)
def test_posterior_is_bayes_rule(now, nxt):
    """Against the product of q(x_nxt | x_0) and q(x_now | x_nxt) on a grid of x_nxt."""
    now, nxt = (
        schedules.Level(jnp.float32(0), jnp.float32(a), jnp.float32(s)) for a, s in (now, nxt)
    )
    x0, xt = 0.7, -0.4
    grid = np.linspace(-30, 30, 600_001)
    ratio = float(now.alpha / nxt.alpha)
    added = float(now.sigma) ** 2 - ratio**2 * float(nxt.sigma) ** 2
    log_density = -((grid - float(nxt.alpha) * x0) ** 2) / (2 * float(nxt.sigma) ** 2)
    log_density -= (xt - ratio * grid) ** 2 / (2 * added)
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    mean = np.sum(density * grid)
    variance = np.sum(density * (grid - mean) ** 2)
    image = jnp.ones((1, 1, 1, 1))
    got_mean, got_variance = process.posterior(xt * image, x0 * image, now, nxt)
    assert got_mean[0, 0, 0, 0] == pytest.approx(mean, abs=1e-5)
    assert got_variance == pytest.approx(variance, rel=1e-5)


def test_posterior_of_the_last_step_is_the_clean_image():
    image = jnp.ones((2, 1, 1, 1))
    mean, variance = process.posterior(0.2 * image, 0.7 * image, TABLE[1], TABLE[0])
    np.testing.assert_allclose(mean, 0.7, rtol=1e-5)
    assert variance == 0.0


def test_noise_of_image_i_does_not_depend_on_the_batch(key):
    keys = process.fold_in(jax.random.split(key, 6), 3)
    together = process.gaussian(keys, (2, 2, 1))
    alone = process.gaussian(keys[4:5], (2, 2, 1))
    np.testing.assert_array_equal(together[4:5], alone)
    assert jnp.unique(together).size == together.size


def test_the_oracle_is_bayes_rule():
    """E[x0 | xt] of the tests' oracle against the posterior mean on a grid of x0."""
    level, xt = TABLE[400], 0.9
    grid = np.linspace(-6, 6, 200_001)
    log_density = -((grid - oracle.MEAN) ** 2) / (2 * oracle.STD**2)
    log_density -= (xt - float(level.alpha) * grid) ** 2 / (2 * float(level.sigma) ** 2)
    density = np.exp(log_density - log_density.max())
    x0_hat = oracle.x0_hat(jnp.full((1, 1, 1, 1), xt), level)
    assert x0_hat[0, 0, 0, 0] == pytest.approx(np.sum(grid * density) / np.sum(density), abs=1e-5)


def test_offset_noise_varies_the_mean_of_each_channel(key):
    keys = jax.random.split(key, 1000)
    plain = process.offset_gaussian(keys, (8, 8, 2), 0.0)
    offset = process.offset_gaussian(keys, (8, 8, 2), 0.5)
    np.testing.assert_array_equal(plain, process.gaussian(process.fold_in(keys, 0), (8, 8, 2)))
    # A channel's mean varies by 1 / 64 from the pixels, 0.25 from the offset, which is one for a channel.
    means = offset.mean(axis=(1, 2))
    np.testing.assert_allclose(means.var(axis=0), 0.25 + 1 / 64, rtol=0.15)
    assert np.corrcoef(means.T)[0, 1] == pytest.approx(0.0, abs=0.15)
    np.testing.assert_allclose((offset - plain).std(axis=(1, 2)), 0.0, atol=1e-6)


@pytest.mark.parametrize("t", [2, 500, 1000])
def test_reverse_variances_are_those_of_ho_et_al(t):
    betas = np.linspace(1e-4, 0.02, 1000)
    alpha_bar = np.cumprod(1 - betas)
    beta = betas[t - 1]
    small = (1 - alpha_bar[t - 2]) / (1 - alpha_bar[t - 1]) * beta  # eq. 7
    got = {
        name: float(process.reverse_log_variance(name, TABLE[t], TABLE[t - 1]))
        for name in ("posterior", "beta")
    }
    assert np.exp(got["beta"]) == pytest.approx(beta, rel=1e-3)
    assert np.exp(got["posterior"]) == pytest.approx(small, rel=1e-3)
    fraction = jnp.array([0.0, 0.5, 1.0]).reshape(3, 1, 1, 1)
    learned = process.reverse_log_variance("learned", TABLE[t], TABLE[t - 1], fraction)
    wanted = [np.log(small), (np.log(small) + np.log(beta)) / 2, np.log(beta)]
    np.testing.assert_allclose(learned.ravel(), wanted, atol=1e-3)


def test_the_decoder_has_the_width_of_beta():
    for name in ("posterior", "beta"):
        log_variance = process.reverse_log_variance(name, TABLE[1], TABLE[0])
        assert np.exp(log_variance) == pytest.approx(1e-4, rel=1e-4)


def test_bad_requests_for_a_variance_are_refused():
    with pytest.raises(ValueError, match=r"variance 'tiny'; known are posterior, beta, learned"):
        process.reverse_log_variance("tiny", TABLE[2], TABLE[1])
    with pytest.raises(ValueError, match=r"needs predictions\.denoiser_with_variance"):
        process.reverse_log_variance("learned", TABLE[2], TABLE[1])


def test_kl_of_gaussians_by_hand():
    zero, one = jnp.float32(0.0), jnp.float32(1.0)
    assert process.gaussian_kl(zero, zero, one, zero) == pytest.approx(0.5)
    # N(0, 4) from N(0, 1): (4 - 1 - log 4) / 2.
    assert process.gaussian_kl(zero, jnp.log(4.0), zero, zero) == pytest.approx((3 - np.log(4)) / 2)
    assert process.gaussian_kl(one, one, one, one) == 0.0
