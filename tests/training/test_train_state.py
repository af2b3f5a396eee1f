import jax
import jax.numpy as jnp
import pytest
import regression

from ddpm_jax.training import state as states


def test_a_fresh_state_has_run_nothing_and_its_average_is_its_own_copy():
    state = regression.fresh()
    assert int(state.step) == 0 and int(state.nonfinite_step) == -1
    ours, theirs = jax.tree.leaves(state.params), jax.tree.leaves(state.ema_params)
    for a, b in zip(ours, theirs, strict=True):
        assert (a == b).all()
        assert a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer()
    assert set(state.totals.sums) == {*states.STEP_METRICS, "mean_error"}


def test_a_metric_named_as_one_of_the_step_is_refused():
    def loss_fn(params, batch, key):
        return jnp.zeros(()), {"loss": jnp.zeros(()), "accuracy": jnp.zeros(())}

    with pytest.raises(ValueError, match=r"named \['loss'\], which the step adds itself"):
        states.create(regression.params(), regression.adam(), loss_fn, regression.batch(0))


def test_log_values_are_means_and_peaks_computed_by_hand():
    totals = regression.fresh().totals
    for loss in (4.0, -1.0, 3.0):
        metrics = {name: jnp.float32(loss) for name in totals.sums}
        totals = states.add_to_totals(totals, metrics)
    values = states.log_values(totals)
    assert values["loss"] == 2.0 and values["loss_max"] == 4.0 and values["grad_norm_max"] == 4.0
    assert "skipped_steps" not in values


def test_the_peak_of_negative_values_is_not_the_zero_it_started_from():
    totals = regression.fresh().totals
    totals = states.add_to_totals(totals, {name: jnp.float32(-2.0) for name in totals.sums})
    assert states.log_values(totals)["loss_max"] == -2.0


def test_taking_the_totals_leaves_zeros():
    state = regression.fresh()
    full = state.replace(totals=jax.tree.map(jnp.ones_like, state.totals))
    taken, left = states.take_totals(full)
    assert states.log_values(taken)["loss"] == 1.0
    assert states.log_values(left.totals) == {}


def test_a_period_of_skipped_steps_only_has_no_mean():
    totals = regression.fresh().totals
    assert states.log_values(totals.replace(skipped=jnp.float32(3))) == {"skipped_steps": 3.0}
