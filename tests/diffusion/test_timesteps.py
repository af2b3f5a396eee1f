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


def test_second_moment_is_uniform_until_every_t_is_known(key):
    history = timesteps.empty_history(4, length=2)
    history = timesteps.remember(history, jnp.array([1, 1, 2]), jnp.array([9.0, 9.0, 9.0]))
    _, weight = timesteps.second_moment(key, 100, history)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-5)


def test_second_moment_draws_by_the_size_of_the_loss_and_keeps_its_mean(key):
    t = jnp.array([1, 2, 3, 1, 2, 3])
    losses = jnp.array([3.0, 4.0, 0.0, 3.0, 4.0, 0.0])
    history = timesteps.remember(timesteps.empty_history(3, length=2), t, losses)
    t, weight = timesteps.second_moment(key, 20_000, history, uniform_share=0.3)
    # sqrt(E[L^2]) is 3, 4, 0: shares 3/7, 4/7, 0, of which 0.3 is made uniform.
    wanted = 0.7 * np.array([3, 4, 0]) / 7 + 0.1
    np.testing.assert_allclose(np.bincount(t, minlength=4)[1:] / 20_000, wanted, atol=0.02)
    np.testing.assert_allclose(weight, 1 / (3 * wanted[np.asarray(t) - 1]), rtol=1e-5)
    loss = jnp.array([3.0, 4.0, 0.0])[t - 1]
    assert np.mean(weight * loss) == pytest.approx(7 / 3, abs=0.05)


def test_the_history_keeps_the_last_losses_of_each_t():
    history = timesteps.empty_history(2, length=3)
    t = jnp.array([2, 2, 1, 2, 2])
    history = timesteps.remember(history, t, jnp.array([1.0, 2.0, 9.0, 3.0, 4.0]))
    np.testing.assert_array_equal(history.losses, [[0, 0, 9], [2, 3, 4]])
    np.testing.assert_array_equal(history.counts, [1, 3])
