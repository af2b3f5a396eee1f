import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import timesteps


def test_uniform_draws_every_t_equally_often(key):
    t = timesteps.uniform(key, 10_000, 10)
    counts = np.bincount(t, minlength=11)
    assert counts[0] == 0 and counts.size == 11
    np.testing.assert_allclose(counts[1:], 1000, atol=5 * np.sqrt(900))


def test_stratified_draws_cover_1_to_T_evenly(key):
    np.testing.assert_array_equal(np.sort(timesteps.stratified(key, 20, 20)), np.arange(1, 21))
    counts = np.bincount(timesteps.stratified(key, 40, 8), minlength=9)
    np.testing.assert_allclose(counts[1:], 5, atol=1)


def test_each_stratified_draw_is_uniform_by_itself(key):
    draws = jax.vmap(lambda key: timesteps.stratified(key, 3, 4))(jax.random.split(key, 4000))
    for column in draws.T:
        shares = np.bincount(column, minlength=5)[1:] / 4000
        np.testing.assert_allclose(shares, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 4000))


def test_beta_prefers_both_ends(key):
    # The arcsine law: P(t = 1) of 10 is (2 / pi) arcsin(sqrt(0.1)) = 0.205.
    shares = np.bincount(timesteps.beta(key, 20_000, 10), minlength=11)[1:] / 20_000
    edge = 2 / np.pi * np.arcsin(np.sqrt(0.1))
    np.testing.assert_allclose(shares[[0, 9]], edge, atol=0.015)
    assert np.all(shares[3:7] < 0.1)


def test_beta_takes_its_parameters(key):
    t = timesteps.beta(key, 5000, 100, a=2.0, b=6.0)
    assert np.mean(t) == pytest.approx(100 * 0.25 + 0.5, abs=1.5)


def test_draws_are_functions_of_the_key(key):
    for draw in (timesteps.uniform, timesteps.stratified, timesteps.beta):
        np.testing.assert_array_equal(draw(key, 8, 100), draw(key, 8, 100))
        assert np.any(draw(key, 8, 100) != draw(jax.random.key(1), 8, 100))


def known(t, losses, times=10):
    """The moments after a batch that was seen `times` times."""
    moments = timesteps.no_moments(max(t))
    batch = timesteps.observe(jnp.array(t), jnp.array(losses), max(t))
    for _ in range(times):
        moments = timesteps.remember(moments, batch, len(t))
    return moments


def test_second_moment_is_uniform_until_every_t_is_known(key):
    moments = known([1, 1, 2], [9.0, 1.0, 3.0], times=9)
    np.testing.assert_allclose(moments.counts, [18, 9])
    _, weight = timesteps.second_moment(key, 100, moments)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-5)


def test_second_moment_draws_by_the_size_of_the_loss_and_keeps_its_mean(key):
    moments = known([1, 2, 3], [3.0, 4.0, 0.0])
    t, weight = timesteps.second_moment(key, 20_000, moments, uniform_share=0.3)
    # sqrt(E[L^2]) is 3, 4, 0: shares 3/7, 4/7, 0, of which 0.3 is made uniform.
    wanted = 0.7 * np.array([3, 4, 0]) / 7 + 0.1
    np.testing.assert_allclose(np.bincount(t, minlength=4)[1:] / 20_000, wanted, atol=0.02)
    np.testing.assert_allclose(weight, 1 / (3 * wanted[np.asarray(t) - 1]), rtol=1e-5)
    loss = jnp.array([3.0, 4.0, 0.0])[t - 1]
    assert np.mean(weight * loss) == pytest.approx(7 / 3, abs=0.05)


def test_moments_fade_by_the_losses_of_their_own_t():
    moments = known([1, 2, 2], [2.0, 1.0, 3.0], times=1)
    np.testing.assert_allclose(moments.squares, [4.0, 5.0])
    batch = timesteps.observe(jnp.array([2, 2]), jnp.array([3.0, 3.0]), 2)
    moments = timesteps.remember(moments, batch, 2, decay=0.9)
    np.testing.assert_allclose(moments.squares, [4.0, 0.81 * 5.0 + 0.19 * 9.0], rtol=1e-6)
    np.testing.assert_allclose(moments.counts, [1, 4])


def test_what_a_batch_tells_is_the_mean_of_what_its_parts_tell():
    t, losses = jnp.array([1, 3, 3, 2]), jnp.array([1.0, 2.0, 4.0, 8.0])
    whole = timesteps.observe(t, losses, 3)
    parts = [timesteps.observe(t[part], losses[part], 3) for part in (slice(0, 2), slice(2, 4))]
    for a, b, both in zip(*parts, whole, strict=True):
        np.testing.assert_allclose((a + b) / 2, both, rtol=1e-6)
