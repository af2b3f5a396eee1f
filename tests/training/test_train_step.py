import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import regression

from ddpm_jax.training import state as states
from ddpm_jax.training import step as steps


def linear_loss(params, batch, key):
    """Its gradient in w is the mean of x."""
    return jnp.mean(batch["x"]) * params["w"], {}


def state_of(optimizer, loss_fn=linear_loss):
    return states.create({"w": jnp.float32(2.0)}, optimizer, loss_fn, {"x": jnp.zeros(4)})


def ramp(decay):
    return lambda step: jnp.float32(decay)


def test_one_step_of_sgd_by_hand(key):
    sgd = optax.sgd(0.1)
    step = jax.jit(steps.make_train_step(linear_loss, sgd, ema_decay=ramp(0.75)))
    state = step(state_of(sgd), {"x": jnp.array([1.0, 2.0, 3.0, 6.0])}, key)
    # The gradient is 3, w goes from 2 to 1.7, and the average a quarter of the way: to 1.925.
    assert int(state.step) == 1
    assert float(state.params["w"]) == pytest.approx(1.7)
    assert float(state.ema_params["w"]) == pytest.approx(1.925)
    values = states.log_values(state.totals)
    assert values["loss"] == pytest.approx(6.0) and values["grad_norm"] == pytest.approx(3.0)
    assert float(states.ema_distance(state)) == pytest.approx(0.225 / 1.7)


def test_the_noise_of_a_step_is_a_function_of_the_runs_key_and_the_steps_number(key):
    def loss_fn(params, batch, key):
        return params["w"] * 0.0, {"draw": jax.random.normal(key)}

    sgd = optax.sgd(0.1)
    step = jax.jit(steps.make_train_step(loss_fn, sgd, ema_decay=ramp(0.5)))
    state = state_of(sgd, loss_fn)
    for number in range(3):
        state = step(state, {"x": jnp.zeros(4)}, key)
        taken, state = states.take_totals(state)
        wanted = jax.random.normal(jax.random.fold_in(key, number))
        assert states.log_values(taken)["draw"] == float(wanted)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_gradients_are_those_of_the_whole_batch(accumulate, unroll, key):
    batch = jax.tree.map(jnp.asarray, regression.batch(0))
    whole = steps.mean_gradient(regression.quiet_loss, 1, False)
    parts = steps.mean_gradient(regression.quiet_loss, accumulate, unroll)
    wanted, got = whole(regression.params(), batch, key), parts(regression.params(), batch, key)
    for a, b in zip(jax.tree.leaves(wanted), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_part_a_is_every_accumulate_th_row(key):
    def loss_fn(params, batch, key):
        # Only a part that is made of rows a, a + 2, ... has all rows equal.
        return jnp.sum(batch["x"] != batch["x"][:1]) + params["w"] * 0.0, {}

    gradient = steps.mean_gradient(loss_fn, 2, False)
    rows = {"x": jnp.array([5.0, 7.0] * 4)}
    (loss, _), _ = gradient({"w": jnp.float32(0)}, rows, key)
    assert float(loss) == 0.0


@pytest.mark.parametrize(("unroll", "loops"), [(False, True), (True, False)])
def test_an_unrolled_step_has_no_loop(unroll, loops, key):
    step = steps.make_train_step(
        regression.quiet_loss,
        regression.adam(),
        ema_decay=regression.DECAY,
        accumulate=2,
        unroll=unroll,
    )
    state = regression.fresh(regression.quiet_loss)
    assert ("while" in jax.jit(step).lower(state, regression.batch(0), key).as_text()) == loops


def test_each_part_draws_other_noise(key):
    def loss_fn(params, batch, key):
        return params["w"] * jax.random.normal(key), {}

    gradient = steps.mean_gradient(loss_fn, 2, False)
    _, grads = gradient({"w": jnp.float32(1.0)}, {"x": jnp.zeros(4)}, key)
    draws = [float(jax.random.normal(jax.random.fold_in(key, part))) for part in (0, 1)]
    assert float(grads["w"]) == pytest.approx(sum(draws) / 2)


def test_parts_that_do_not_come_out_even_are_refused(key):
    gradient = steps.mean_gradient(linear_loss, 3, False)
    with pytest.raises(ValueError, match="a batch of 4 rows does not divide into 3 parts"):
        gradient({"w": jnp.float32(1.0)}, {"x": jnp.zeros(4)}, key)
    with pytest.raises(ValueError, match="accumulate 0 must be at least 1"):
        steps.mean_gradient(linear_loss, 0, False)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_freezes_the_state(bad, key):
    sgd = optax.sgd(0.1)
    step = jax.jit(steps.make_train_step(linear_loss, sgd, ema_decay=ramp(0.5)))
    good = {"x": jnp.ones(4)}
    before = step(state_of(sgd), good, key)
    state = step(before, {"x": jnp.array([1.0, bad, 1.0, 1.0])}, key)
    state = step(state, good, key)
    assert int(state.nonfinite_step) == 1
    for a, b in zip(
        jax.tree.leaves(before),
        jax.tree.leaves(state.replace(nonfinite_step=before.nonfinite_step)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_skipped_step_is_counted_and_changes_nothing_else(key):
    sgd = optax.sgd(0.1)
    step = steps.make_train_step(linear_loss, sgd, ema_decay=ramp(0.5), skip_nonfinite=True)
    before = step(state_of(sgd), {"x": jnp.ones(4)}, key)
    state = step(before, {"x": jnp.full(4, np.nan)}, key)
    assert int(state.step) == 2 and int(state.nonfinite_step) == -1
    assert float(state.params["w"]) == float(before.params["w"])
    assert float(state.ema_params["w"]) == float(before.ema_params["w"])
    values = states.log_values(state.totals)
    assert values["skipped_steps"] == 1.0 and values["loss"] == pytest.approx(2.0)


def test_the_average_is_taken_in_float32_and_follows_its_decay(key):
    sgd = optax.sgd(0.1)
    step = steps.make_train_step(linear_loss, sgd, ema_decay=lambda step: (1.0 + step) / 4)
    state = state_of(sgd)
    expected, w = 2.0, 2.0
    for number in range(3):
        state = step(state, {"x": jnp.ones(4)}, key)
        w -= 0.1
        expected += (1 - (1 + number) / 4) * (w - expected)
    assert state.ema_params["w"].dtype == jnp.float32
    assert float(state.ema_params["w"]) == pytest.approx(expected)


def test_an_evaluation_returns_the_loss_among_its_metrics(key):
    evaluate = steps.make_eval_step(regression.quiet_loss)
    batch = jax.tree.map(jnp.asarray, regression.batch(0))
    metrics = evaluate(regression.params(), batch, key)
    loss, others = regression.quiet_loss(regression.params(), batch, key)
    assert metrics == {"loss": loss, **others}
