import functools

import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import predictions, process, schedules, solvers

SCHEDULES = {"linear": schedules.linear(1000), "cosine": schedules.cosine(1000)}
ANCESTRAL = solvers.ancestral("posterior")
STOCHASTIC = {
    "ancestral": (ANCESTRAL, 200),
    "ancestral, beta": (solvers.ancestral("beta"), 200),
    "ddim, eta 1": (solvers.ddim(1.0), 200),
    "ddim, eta 0.5": (solvers.ddim(0.5), 200),
    "sde_dpm_solver_pp_2m": (solvers.dpm_solver_pp_2m(stochastic=True), 60),
}
DETERMINISTIC = {
    "ddim": solvers.ddim(0.0),
    "heun": solvers.heun(),
    "dpm_solver_pp_2m": solvers.dpm_solver_pp_2m(),
}
SHAPE = (4, 4, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(solver, denoise, levels, x, keys):
    return solvers.sample(solver, denoise, levels, x, keys)


run_all = jax.jit(solvers.trajectory, static_argnums=(0, 1))


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
    together = run(ANCESTRAL, oracle.denoise, levels, x, keys)
    alone = run(ANCESTRAL, oracle.denoise, levels, x[3:4], keys[3:4])
    np.testing.assert_array_equal(together[3:4], alone)


@pytest.mark.parametrize(("solver", "num_steps"), STOCHASTIC.values(), ids=STOCHASTIC)
def test_the_last_step_adds_no_noise(solver, num_steps, key):
    levels = schedules.descending(SCHEDULES["linear"], 1000)[-2:]
    keys = jax.random.split(key, 2)
    x = process.gaussian(keys, SHAPE)
    got = run(solver, oracle.denoise, levels, x, keys)
    np.testing.assert_allclose(got, oracle.denoise(x, levels[0]).x0, atol=1e-5)


def test_the_state_is_not_clipped_on_the_way(key):
    levels = schedules.descending(SCHEDULES["linear"], 20)
    keys = jax.random.split(key, 8)
    x = solvers.starting_noise(levels, keys, SHAPE)
    clip = predictions.clipped(oracle.denoise)
    path = run_all(ANCESTRAL, clip, levels, x, keys)
    assert jnp.max(jnp.abs(path.x[:10])) > 2.0
    assert jnp.max(jnp.abs(path.x0_hat)) == 1.0
    assert jnp.max(jnp.abs(path.x[-1])) <= 1.0


def test_a_trajectory_is_the_path_of_the_sample(key):
    levels = schedules.descending(SCHEDULES["cosine"], 6)
    keys = jax.random.split(key, 2)
    x = solvers.starting_noise(levels, keys, SHAPE)
    path = run_all(ANCESTRAL, oracle.denoise, levels, x, keys)
    assert path.x.shape == (7, 2, *SHAPE) and path.x0_hat.shape == (6, 2, *SHAPE)
    np.testing.assert_array_equal(path.x[0], x)
    np.testing.assert_allclose(path.x0_hat[2], oracle.denoise(path.x[2], levels[2]).x0, rtol=1e-5)
    x0 = run(ANCESTRAL, oracle.denoise, levels, x, keys)
    np.testing.assert_allclose(path.x[-1], x0, rtol=1e-5)


def interior(num_steps):
    """Levels even in log-SNR from -8 to 8: neither noise nor the clean image."""
    return schedules.from_log_snr(np.linspace(8.0, -8.0, num_steps + 1))[:0:-1]


def error_of(solver, levels, key):
    keys = jax.random.split(key, 64)
    x = solvers.starting_noise(levels, keys, SHAPE)
    got = run(solver, oracle.denoise, levels, x, keys)
    return np.sqrt(np.mean((got - oracle.flow(x, levels[0], levels[-1])) ** 2))


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("ddim", 0.9, 1.1), ("heun", 1.8, 2.4), ("dpm_solver_pp_2m", 1.8, 2.4)],
)
def test_halving_the_step_shows_the_order_of_convergence(name, lowest, highest, key):
    errors = [error_of(DETERMINISTIC[name], interior(num_steps), key) for num_steps in (40, 80)]
    assert lowest <= np.log2(errors[0] / errors[1]) <= highest


def spread_error(solver, levels, monkeypatch):
    """How far the samples' standard deviation is from the true one, without drawing: the oracle is linear.

    Row k of the batch has a start or a noise of one in step k and zeros elsewhere; the variance of the
    samples is the sum of the rows' squares.
    """
    rows = np.eye(levels.num_steps + 1, dtype=np.float32)[..., None, None, None]
    x = jnp.array(np.float32(oracle.spread(levels[0])) * rows[0])
    carry = solver.init(x)

    def denoise(xt, level):
        return predictions.from_x0(xt, oracle.gain(level.like(xt)) * xt, level.like(xt))

    for number in range(levels.num_steps):
        noise = jnp.array(rows[number + 1])
        monkeypatch.setattr(process, "gaussian", lambda keys, shape, noise=noise: noise)
        x, carry = solver.step(denoise, carry, x, levels[number], levels[number + 1], None)
    return abs(np.sqrt((np.float64(x) ** 2).sum()) - oracle.spread(levels[-1]))


@pytest.mark.parametrize(
    ("solver", "lowest", "highest"),
    [(solvers.ddim(1.0), 0.8, 1.1), (solvers.dpm_solver_pp_2m(stochastic=True), 1.8, 2.2)],
    ids=["ddim, eta 1", "sde_dpm_solver_pp_2m"],
)
def test_halving_the_step_shows_the_order_of_stochastic_solvers(
    solver, lowest, highest, monkeypatch
):
    errors = [spread_error(solver, interior(num), monkeypatch) for num in (40, 80)]
    assert lowest <= np.log2(errors[0] / errors[1]) <= highest


@pytest.mark.parametrize("spacing", schedules.SPACINGS)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_solvers_follow_the_flow_to_the_clean_image(name, spacing, key):
    levels = schedules.descending(SCHEDULES["linear"], 80, spacing)
    assert error_of(DETERMINISTIC[name], levels, key) < 0.03


def test_forty_second_order_steps_beat_eighty_first_order_ones(key):
    few = schedules.descending(SCHEDULES["cosine"], 40, "karras")
    many = schedules.descending(SCHEDULES["cosine"], 80, "karras")
    first_order = error_of(DETERMINISTIC["ddim"], many, key)
    assert error_of(DETERMINISTIC["heun"], few, key) < first_order
    assert error_of(DETERMINISTIC["dpm_solver_pp_2m"], few, key) < first_order


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_solvers_walk_levels_with_alpha_one(name, key):
    assert error_of(DETERMINISTIC[name], schedules.karras(80)[::-1], key) < 0.03


def test_dpm_solver_starts_and_ends_as_ddim(key):
    """With no step before and an infinite log-SNR ahead there is nothing of second order."""
    keys = jax.random.split(key, 3)
    for stochastic in (False, True):
        ddim, multistep = solvers.ddim(float(stochastic)), solvers.dpm_solver_pp_2m(stochastic)
        for levels in (interior(30)[:2], schedules.descending(SCHEDULES["cosine"], 30)[-2:]):
            x = process.gaussian(keys, SHAPE)
            got = run(multistep, oracle.denoise, levels, x, keys)
            wanted = run(ddim, oracle.denoise, levels, x, keys)
            np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["edm", "cosine"])
def test_churn_keeps_the_distribution(name, key):
    table = {"edm": schedules.karras(1000), "cosine": SCHEDULES["cosine"]}[name]
    levels = schedules.descending(table, 40, "karras")
    _, x0 = draw(solvers.edm_stochastic(table, churn=0.3, noise_scale=1.0), levels, key)
    assert jnp.mean(x0) == pytest.approx(oracle.MEAN, abs=0.02)
    assert jnp.std(x0) == pytest.approx(oracle.STD, abs=0.02)


def test_without_churn_the_edm_sampler_is_heun(key):
    table = SCHEDULES["cosine"]
    levels = schedules.descending(table, 10, "karras")
    keys = jax.random.split(key, 3)
    x = solvers.starting_noise(levels, keys, SHAPE)
    wanted = run(solvers.heun(), oracle.denoise, levels, x, keys)
    for still in (
        solvers.edm_stochastic(table, churn=0.0),
        solvers.edm_stochastic(table, sigma_min=100.0, sigma_max=200.0),
    ):
        np.testing.assert_allclose(run(still, oracle.denoise, levels, x, keys), wanted, atol=1e-5)


@pytest.mark.parametrize("churn", [-0.01, 0.42, 1.0, float("nan")])
def test_more_churn_than_karras_et_al_allow_is_refused(churn):
    """Alg. 2 cuts gamma to sqrt(2) - 1 = 0.41421..."""
    solvers.edm_stochastic(SCHEDULES["cosine"], churn=0.4142)
    with pytest.raises(ValueError, match=rf"churn {churn}; wanted from 0 to .* = 0\.4142"):
        solvers.edm_stochastic(SCHEDULES["cosine"], churn=churn)


def test_churn_tells_the_network_where_it_is(key):
    """The oracle that knows its level by t alone gives what the one that sees the level gives."""
    table = SCHEDULES["cosine"]
    levels = schedules.descending(table, 12, "karras")
    keys = jax.random.split(key, 3)
    x = solvers.starting_noise(levels, keys, SHAPE)
    solver = solvers.edm_stochastic(table, churn=0.3)
    by_t = predictions.denoiser(oracle.predict(table, "v"), "v")
    got, wanted = (run(solver, denoise, levels, x, keys) for denoise in (by_t, oracle.denoise))
    np.testing.assert_allclose(got, wanted, atol=2e-3)


def learned_half(xt, level):
    half = jnp.full_like(xt, 0.5)
    return oracle.denoise(xt, level)._replace(variance_fraction=half)


def test_ancestral_draws_with_the_learned_variance(key):
    """One step from one image to 2,000 draws, whose variance is the geometric mean of the two."""
    now, nxt = schedules.step_to(SCHEDULES["linear"], jnp.int32(3))
    keys = jax.random.split(key, 2000)
    x = jnp.full((2000, *SHAPE), 0.2)
    levels = jax.tree.map(lambda a, b: jnp.stack([a, b]), now, nxt)
    got = run(solvers.ancestral("learned"), learned_half, levels, x, keys)
    ends = [process.reverse_log_variance(name, now, nxt) for name in ("posterior", "beta")]
    assert jnp.log(jnp.var(got)) == pytest.approx(float(sum(ends) / 2), abs=0.03)
    with pytest.raises(ValueError, match="variance 'learned' needs"):
        run(solvers.ancestral("learned"), oracle.denoise, levels, x[:1], keys[:1])


def test_iterative_x0_feeds_its_estimate_back(key):
    """By hand: the state is the estimate itself, noised only after steps from above t = 7."""
    levels = schedules.blend(10)[::-1]
    keys = jax.random.split(key, 500)
    x = process.gaussian(keys, SHAPE)
    solver = solvers.iterative_x0(noise=0.05, above_t=7.0)
    path = run_all(solver, oracle.denoise, levels, x, keys)
    stds = jnp.std(path.x[1:] - path.x0_hat, axis=(1, 2, 3, 4))
    np.testing.assert_allclose(stds, [0.05] * 3 + [0.0] * 7, atol=0.002)


def test_unknown_variances_are_refused_by_name():
    with pytest.raises(ValueError, match="variance 'small'; known are posterior, beta, learned"):
        solvers.ancestral("small")
