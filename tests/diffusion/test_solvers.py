import functools

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import predictions, process, schedules, solvers

SCHEDULES = {"linear": schedules.linear(1000), "cosine": schedules.cosine(1000)}
STOCHASTIC = {
    "ancestral": (solvers.ancestral("posterior"), 200),
    "ancestral, beta": (solvers.ancestral("beta"), 200),
    "ddim, eta 1": (solvers.ddim(1.0), 200),
    "ddim, eta 0.5": (solvers.ddim(0.5), 200),
}
SHAPE = (4, 4, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(solver, denoise, levels, x, keys):
    return solvers.sample(solver, denoise, levels, x, keys)


def draw(solver, levels, key, num=1500, denoise=oracle.denoise):
    start_key, step_key = jax.random.split(key)
    x = solvers.starting_noise(levels, jax.random.split(start_key, num), SHAPE)
    return x, run(solver, denoise, levels, x, jax.random.split(step_key, num))


@pytest.mark.parametrize("table", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(("solver", "num_steps"), STOCHASTIC.values(), ids=STOCHASTIC)
def test_stochastic_solvers_land_on_the_data(solver, num_steps, table, key):
    # 24,000 numbers: the standard error is 0.003 for the mean, 0.002 for the spread.
    _, x0 = draw(solver, schedules.descending(table, num_steps), key)
    assert jnp.mean(x0) == pytest.approx(oracle.MEAN, abs=0.02)
    assert jnp.std(x0) == pytest.approx(oracle.STD, abs=0.02)


@pytest.mark.parametrize(("name", "spacing"), [("linear", "quadratic"), ("cosine", "uniform")])
@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_a_thousand_ddim_steps_follow_the_flow(kind, name, spacing, key):
    """Root mean square of the distance to the closed form; every parameterization."""
    table = SCHEDULES[name]
    levels = schedules.descending(table, 1000, spacing)
    denoise = predictions.denoiser(oracle.predict(table, kind), kind)
    x, x0 = draw(solvers.ddim(0.0), levels, key, num=64, denoise=denoise)
    error = x0 - oracle.flow(x, levels[0], levels[-1])
    assert np.sqrt(np.mean(error**2)) < 1e-3


def test_image_i_does_not_depend_on_the_batch_it_is_sampled_in(key):
    levels = schedules.descending(SCHEDULES["cosine"], 10)
    keys = jax.random.split(key, 5)
    x = solvers.starting_noise(levels, keys, SHAPE)
    together = solvers.sample(solvers.ancestral(), oracle.denoise, levels, x, keys)
    alone = solvers.sample(solvers.ancestral(), oracle.denoise, levels, x[3:4], keys[3:4])
    np.testing.assert_array_equal(together[3:4], alone)


@pytest.mark.parametrize(("solver", "num_steps"), STOCHASTIC.values(), ids=STOCHASTIC)
def test_the_last_step_adds_no_noise(solver, num_steps, key):
    levels = schedules.descending(SCHEDULES["linear"], 1000)[-2:]
    keys = jax.random.split(key, 2)
    x = process.gaussian(keys, SHAPE)
    got = solvers.sample(solver, oracle.denoise, levels, x, keys)
    np.testing.assert_allclose(got, oracle.denoise(x, levels[0]).x0, atol=1e-5)


def test_the_state_is_not_clipped_on_the_way(key):
    levels = schedules.descending(SCHEDULES["linear"], 20)
    keys = jax.random.split(key, 8)
    x = solvers.starting_noise(levels, keys, SHAPE)
    clip = predictions.clipped(oracle.denoise)
    path = solvers.trajectory(solvers.ancestral(), clip, levels, x, keys)
    assert jnp.max(jnp.abs(path.x[:10])) > 2.0
    assert jnp.max(jnp.abs(path.x0_hat)) == 1.0
    assert jnp.max(jnp.abs(path.x[-1])) <= 1.0


def test_a_trajectory_is_the_path_of_the_sample(key):
    levels = schedules.descending(SCHEDULES["cosine"], 6)
    keys = jax.random.split(key, 2)
    x = solvers.starting_noise(levels, keys, SHAPE)
    path = solvers.trajectory(solvers.ancestral(), oracle.denoise, levels, x, keys)
    assert path.x.shape == (7, 2, *SHAPE) and path.x0_hat.shape == (6, 2, *SHAPE)
    np.testing.assert_array_equal(path.x[0], x)
    np.testing.assert_allclose(path.x0_hat[2], oracle.denoise(path.x[2], levels[2]).x0, rtol=1e-5)
    x0 = solvers.sample(solvers.ancestral(), oracle.denoise, levels, x, keys)
    np.testing.assert_allclose(path.x[-1], x0, rtol=1e-5)


def test_unknown_variances_are_refused_by_name():
    with pytest.raises(ValueError, match="variance 'small'; known are posterior, beta, learned"):
        solvers.ancestral("small")
