import functools

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import editing, predictions, process, schedules, solvers

TABLE = schedules.cosine(1000)
SHAPE = (2, 2, 1)


def test_starting_at_t_is_a_slice():
    levels = schedules.descending(TABLE, 10)
    np.testing.assert_array_equal(editing.below(levels, 400).t, [400, 300, 200, 100, 0])
    np.testing.assert_array_equal(editing.below(levels, 399).t, [300, 200, 100, 0])
    assert editing.below(levels, 1000).num_steps == 10


@pytest.mark.parametrize("t", [-5, 0, 50])
def test_there_is_nothing_to_denoise_below_the_least_noisy_level(t):
    with pytest.raises(ValueError, match=r"the least noisy start of these levels is 100"):
        editing.below(schedules.descending(TABLE, 10), t)


def test_partial_denoising_draws_from_the_posterior_of_the_noised_image(key):
    """For a constant image c: mean m + g alpha (c - m), variance g^2 sigma^2 + (1 - g alpha) s^2."""
    levels = editing.below(schedules.descending(TABLE, 200), 400)
    x0 = jnp.full((4000, *SHAPE), -0.6)
    keys = jax.random.split(key, 4000)
    start = editing.noised(levels, x0, keys)
    got = solvers.sample(solvers.ancestral(), oracle.denoise, levels, start, keys)
    level = levels[0]
    gain = float(oracle.gain(level))
    kept = gain * float(level.alpha)
    assert jnp.mean(got) == pytest.approx(oracle.MEAN + kept * (-0.6 - oracle.MEAN), abs=0.02)
    variance = gain**2 * float(level.sigma) ** 2 + (1 - kept) * oracle.STD**2
    assert jnp.std(got) == pytest.approx(np.sqrt(variance), abs=0.02)


# Images of two pixels, each of variance 0.25, whose correlation is 0.9.
COVARIANCE = 0.25 * np.array([[1.0, 0.9], [0.9, 1.0]], np.float32)


def correlated(xt, level):
    """E[x0 | xt] = alpha S (alpha^2 S + sigma^2)^-1 xt."""
    noised = level.alpha**2 * COVARIANCE + level.sigma**2 * jnp.eye(2)
    matrix = level.alpha * COVARIANCE @ jnp.linalg.inv(noised)
    flat = xt.reshape(-1, 2)
    return predictions.from_x0(xt, (flat @ matrix.T).reshape(xt.shape), level)


@functools.partial(jax.jit, static_argnums=(0, 1))
def inpainted(solver, num_resamples, levels, known, mask, keys):
    solver = editing.inpaint(solver, known, mask, num_resamples)
    x = solvers.starting_noise(levels, keys, known.shape[1:])
    return solvers.sample(solver, correlated, levels, x, keys)


ANCESTRAL = solvers.ancestral()


@pytest.mark.parametrize("solver", [ANCESTRAL, solvers.dpm_solver_pp_2m()])
def test_inpainting_keeps_what_is_known_and_agrees_with_it(solver, key):
    """The conditional mean of the second pixel is 0.9 times the first; resampling approaches it."""
    num = 2000
    levels = schedules.descending(TABLE, 30)
    known = jnp.full((num, 1, 2, 1), 0.8)
    mask = jnp.zeros((num, 1, 2, 1)).at[:, :, 0].set(1.0)
    keys = jax.random.split(key, num)
    once = inpainted(solver, 1, levels, known, mask, keys)
    often = inpainted(solver, 8, levels, known, mask, keys)
    for got in (once, often):
        np.testing.assert_array_equal(got[:, :, 0], known[:, :, 0])
    errors = [abs(float(got[:, :, 1].mean()) - 0.72) for got in (once, often)]
    assert errors[1] < 0.08
    assert errors[1] < errors[0]


def test_resampling_with_nothing_known_still_lands_on_the_data(key):
    """Going back is by the forward process: any other amount of noise would change the spread."""
    num = 4000
    levels = schedules.descending(TABLE, 300)
    nothing = jnp.zeros((num, 1, 2, 1))
    keys = jax.random.split(key, num)
    got = inpainted(ANCESTRAL, 3, levels, nothing, nothing, keys).reshape(num, 2)
    np.testing.assert_allclose(np.cov(got.T), COVARIANCE, atol=0.03)


def test_inpainting_needs_at_least_one_pass():
    image = jnp.zeros((1, *SHAPE))
    with pytest.raises(ValueError, match="num_resamples 0; at least 1"):
        editing.inpaint(solvers.ddim(), image, image, num_resamples=0)


def rows(*values):
    return jnp.array(values).reshape(len(values), -1, 1, 1)


def test_slerp_by_hand():
    """Halfway between two axes; the ends; two images in one direction."""
    first = rows([1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    second = rows([0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [3.0, 0.0])
    got = editing.slerp(first, second, jnp.array([0.5, 0.0, 1.0, 0.5]))
    wanted = [[np.sqrt(0.5), np.sqrt(0.5)], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]
    np.testing.assert_allclose(got[:, :, 0, 0], wanted, atol=1e-6)


def test_slerp_of_noise_is_noise_and_a_line_is_not(key):
    first, second = (jax.random.normal(k, (4, 32, 32, 1)) for k in jax.random.split(key))
    half = jnp.full(4, 0.5)
    assert jnp.std(editing.slerp(first, second, half)) == pytest.approx(1.0, abs=0.05)
    assert jnp.std((first + second) / 2) == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_interpolation_ends_near_its_images_and_passes_between(key):
    levels = editing.below(schedules.descending(TABLE, 50), 300)
    first, second = jnp.full((60, *SHAPE), -0.5), jnp.full((60, *SHAPE), 0.9)
    weight = jnp.repeat(jnp.array([0.0, 0.5, 1.0]), 20)
    got = editing.interpolate(
        solvers.ddim(),
        oracle.denoise,
        levels,
        first,
        second,
        weight,
        jax.random.split(key, 60),
    )
    means = got.reshape(3, -1).mean(axis=1)
    assert means[0] < means[1] < means[2]
    assert abs(means[0] + 0.5) < 0.25 and abs(means[2] - 0.9) < 0.25


def test_encoding_follows_the_flow_up_and_decoding_comes_back(key):
    levels = schedules.descending(TABLE, 100, "log_snr")
    keys = jax.random.split(key, 8)
    x0 = oracle.MEAN + oracle.STD * process.gaussian(keys, SHAPE)
    solver = solvers.heun()
    noise = editing.encode(solver, oracle.denoise, levels, x0, keys)
    np.testing.assert_allclose(noise, oracle.flow(x0, levels[-1], levels[0]), atol=0.01)
    back = solvers.sample(solver, oracle.denoise, levels, noise, keys)
    np.testing.assert_allclose(back, x0, atol=0.005)
