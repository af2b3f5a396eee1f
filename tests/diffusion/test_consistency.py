"""Consistency tuning on data N(mean, std^2), where the consistency function is known.

With phi = atan2(sigma, alpha std), x_t is alpha mean + spread(t) u, where u = cos(phi) z + sin(phi) eps has
variance 1. The flow keeps u, so the consistency function is mean + std u, and the correlation of u at two
levels with the same noise is the cosine of the difference of their phi.
"""

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import consistency, predictions, process, schedules, solvers

TABLE = schedules.cosine(100)
PAIRS = [(3, 0), (40, 0), (40, 39), (70, 35), (100, 99)]
# Each of the four pairs of signs once: their means of products are those of two standard normals.
Z, EPS = jnp.array([1.0, 1.0, -1.0, -1.0]), jnp.array([1.0, -1.0, 1.0, -1.0])


def exactly(scale):
    """A denoiser that gives mean + scale(level) u; the consistency function if the scale is std."""

    def denoise(x, level):
        wide = level.like(x)
        norm = jnp.sqrt((wide.alpha * oracle.STD) ** 2 + wide.sigma**2)
        x0 = oracle.MEAN + scale(wide) * (x - wide.alpha * oracle.MEAN) / norm
        return predictions.from_x0(x, x0, level)

    return denoise


flow = exactly(lambda level: oracle.STD)


def phi(level):
    return np.arctan2(np.float64(level.sigma), np.float64(level.alpha) * oracle.STD)


def ratio(level):
    return np.float64(level.sigma) / np.float64(level.alpha)


def mean_loss(denoise, t, r, **options):
    """The expected loss of one pair of levels: the mean over the four signs."""
    x0 = (oracle.MEAN + oracle.STD * Z).reshape(4, 1, 1, 1)
    now, nxt = (TABLE[jnp.full(4, row)] for row in (t, r))
    return consistency.loss(denoise, x0, EPS.reshape(4, 1, 1, 1), now, nxt, **options).mean()


@pytest.mark.parametrize(("t", "r"), PAIRS)
def test_the_loss_of_the_consistency_function(t, r):
    """E (std u_t - std u_r)^2 is 2 std^2 (1 - cos(phi_t - phi_r)): zero only as the gap closes."""
    now, nxt = TABLE[t], TABLE[r]
    apart = 2 * oracle.STD**2 * (1 - np.cos(phi(now) - phi(nxt)))
    expected = apart / (ratio(now) - ratio(nxt))
    assert mean_loss(flow, t, r) == pytest.approx(expected, rel=2e-3, abs=1e-7)


@pytest.mark.parametrize(("t", "r"), PAIRS)
def test_the_gradient_vanishes_at_the_cosine_of_the_gap_and_skips_the_target(t, r):
    """For std_t u with the target std_r u, it is 2 (std_t - std_r cos(phi_t - phi_r)) / (gap in ratio).

    At r = 0 the factor cos(phi_t) makes it the denoiser; as the gap closes, the consistency function.
    """
    now, nxt = TABLE[t], TABLE[r]

    def loss(here, there):
        return mean_loss(exactly(lambda level: jnp.where(level.t == t, here, there)), t, r)

    still = oracle.STD * np.cos(phi(now) - phi(nxt))
    gradients = jax.grad(loss, argnums=(0, 1))
    scale = 1 / (ratio(now) - ratio(nxt))
    here, there = gradients(still, oracle.STD)
    assert here == pytest.approx(0.0, abs=1e-4 * scale) and there == 0.0
    assert gradients(still + 0.1, oracle.STD)[0] == pytest.approx(0.2 * scale, rel=2e-3)


def test_the_target_at_the_clean_level_is_the_image():
    """Whatever the network says of a clean image, even if it divides by sigma."""

    def denoise(x, level):
        return predictions.from_x0(x, jnp.zeros_like(x) / level.like(x).sigma, level)

    mean_square = oracle.MEAN**2 + oracle.STD**2
    assert mean_loss(denoise, 30, 0) == pytest.approx(mean_square / ratio(TABLE[30]), rel=1e-5)
    gradient = jax.grad(lambda x: mean_loss(exactly(lambda level: x), 30, 0))(0.1)
    assert np.isfinite(gradient)


def test_the_pseudo_huber_distance_by_hand():
    """The network says 0; images are 0.8 and -0.2, so distances are sqrt(x0^2 + 0.6^2) - 0.6."""

    def silent(x, level):
        return predictions.from_x0(x, jnp.zeros_like(x), level)

    by_hand = (np.hypot([0.8, 0.2], 0.6) - 0.6).mean()
    found = mean_loss(silent, 30, 0, offset=0.6)
    assert found == pytest.approx(by_hand / ratio(TABLE[30]), rel=1e-5)


@pytest.mark.parametrize(
    ("ratio", "progress", "by_hand"),
    [
        (0.0, 0.0, 0.0),  # 1 - 5 / 2 is below zero
        (100.0, 0.0, 0.5),
        (100.0, 0.124, 0.5),  # the first of eight stages
        (100.0, 0.126, 0.75),
        (1.0, 1.0, 1 - (1 + 8 / (1 + np.e)) / 256),
        (0.0, 1.0, 1 - 5 / 256),
    ],
)
def test_the_share_of_the_noise_that_the_cleaner_level_keeps(ratio, progress, by_hand):
    found = consistency.share_kept(jnp.float32(ratio), progress, stages=8)
    assert found == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("table", [TABLE, schedules.karras(100)])
def test_the_cleaner_level_is_the_noisiest_row_within_the_share(table, progress):
    """By a search over all rows."""
    ratios = np.asarray(table.sigma / table.alpha)
    t = np.arange(1, 101)
    wanted = ratios[t] * np.asarray(consistency.share_kept(jnp.asarray(ratios[t]), progress, 8))
    by_search = [
        max(row for row in range(i) if ratios[row] <= w) for i, w in zip(t, wanted, strict=True)
    ]
    found = consistency.cleaner(table, jnp.asarray(t), progress, 8)
    np.testing.assert_array_equal(found.t, table.t[np.array(by_search)])


def run(denoise, num_steps, key, num=1500):
    levels = schedules.descending(TABLE, num_steps)
    start, chain = (jax.random.split(one, num) for one in jax.random.split(key))
    x = solvers.starting_noise(levels, start, (4, 4, 1))
    return levels, x, solvers.sample(solvers.consistency(), denoise, levels, x, chain)


def test_one_step_of_the_consistency_function_is_the_flow(key):
    levels, x, x0 = run(flow, 1, key, num=8)
    np.testing.assert_allclose(x0, oracle.flow(x, levels[0], levels[-1]), atol=1e-5)


@pytest.mark.parametrize("num_steps", [2, 4])
def test_several_steps_of_the_consistency_function_land_on_the_data(num_steps, key):
    x0 = run(flow, num_steps, key)[2]
    assert jnp.mean(x0) == pytest.approx(oracle.MEAN, abs=0.02)
    assert jnp.std(x0) == pytest.approx(oracle.STD, abs=0.02)


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_the_moments_of_several_steps_of_the_denoiser(num_steps, key):
    """A denoiser shrinks what it sees: the variance v of x0 becomes g^2 (alpha^2 v + sigma^2)."""
    levels, _, x0 = run(oracle.denoise, num_steps, key)
    mean = variance = 0.0
    for step in range(num_steps):
        alpha, sigma, gain = (
            float(value)
            for value in (levels.alpha[step], levels.sigma[step], oracle.gain(levels[step]))
        )
        # The start is standard normal; later, x is the noised estimate.
        x_mean, x_variance = (alpha * mean, alpha**2 * variance + sigma**2) if step else (0.0, 1.0)
        mean = oracle.MEAN + gain * (x_mean - alpha * oracle.MEAN)
        variance = gain**2 * x_variance
    assert jnp.mean(x0) == pytest.approx(mean, abs=0.01)
    assert jnp.std(x0) == pytest.approx(np.sqrt(variance), rel=0.03)


def test_a_step_noises_the_estimate_again():
    """To the last bit what alg. 1 says, from the same noise."""
    keys = jax.random.split(jax.random.key(3), 2)
    now, nxt = TABLE[80], TABLE[50]
    x = jnp.ones((2, 2, 2, 1))
    found, _ = solvers.consistency().step(oracle.denoise, (), x, now, nxt, keys)
    noise = process.gaussian(keys, (2, 2, 1))
    wanted = process.noise(oracle.denoise(x, now).x0, nxt, noise)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
