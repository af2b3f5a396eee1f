"""A loss that remembers: whatever takes the steps, it remembers the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ddpm_jax.training import checkpoint_items, checkpoints, compilation, devices, nonfinite
from ddpm_jax.training import state as states
from ddpm_jax.training import step as steps

ROWS = jnp.arange(8.0)
PAST = states.Past(
    {"level": jnp.float32(1.0)}, lambda past, seen: {"level": 0.5 * past["level"] + seen}
)


def loss_fn(params, batch, key, past, step):
    """The gradient is the past's level, whatever the batch."""
    metrics = {"seen": batch["x"].mean(), "level": past["level"], "at": step.astype(float)}
    return params["w"] * past["level"], metrics


def train(num_steps, *, parallel=None, rows=ROWS, state=None, **options):
    placement = devices.place(parallel) if parallel else devices.place("jit", jax.devices()[:1])
    sgd = optax.sgd(1.0)
    if state is None:
        state = states.create({"w": jnp.float32(0.0)}, sgd, loss_fn, {"x": rows}, PAST)
    step = compilation.compile_step(
        placement,
        steps.make_train_step(
            loss_fn,
            sgd,
            ema_decay=lambda step: jnp.float32(0.0),
            past=PAST,
            axis_name=placement.axis_name,
            **options,
        ),
    )
    state = devices.replicate(placement, state)
    for _ in range(num_steps):
        batch = devices.put_batch(placement, {"x": np.asarray(rows)})
        state = step(state, batch, jax.random.key(0))
    return state


@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2}, {"accumulate": 2, "unroll": True}, {"parallel": "pmap"}]
)
def test_a_loss_remembers_what_it_saw(options):
    state = train(2, **options)
    # By hand: the level is 1, then 0.5 + 3.5 = 4, then 2 + 3.5; w goes down by each before.
    np.testing.assert_allclose(np.ravel(state.past["level"])[0], 5.5)
    np.testing.assert_allclose(np.ravel(state.params["w"])[0], -5.0)
    values = states.log_values(states.take_totals(state)[0])
    # Steps 0 and 1.
    assert values["level"] == 2.5 and values["at"] == 0.5 and "seen" not in values


def test_a_step_that_is_not_finite_is_not_remembered():
    state = train(1, rows=ROWS)
    poisoned = state.replace(params={"w": jnp.float32(jnp.nan)})
    assert train(1, state=poisoned).past["level"] == 4.0


def test_a_checkpoint_holds_the_past_of_a_loss(tmp_path):
    state = train(2)
    with checkpoints.saver(tmp_path, keep=1) as save:
        save(state)
    placement = devices.place("jit", jax.devices()[:1])
    back = checkpoints.restore(tmp_path, devices.abstract(placement, state)).state
    assert back.past["level"] == 5.5
    assert (tmp_path / "2" / "memory").is_dir()  # what earlier versions call it
    target = devices.abstract(placement, PAST.start)
    alone = checkpoints.restore_params(tmp_path, target, item=checkpoint_items.PAST).params
    assert alone["level"] == 5.5


def test_a_step_done_again_reads_the_past_it_had():
    found = nonfinite.inspect(loss_fn, train(2), {"x": ROWS}, jax.random.key(0))
    assert found.metrics == {"level": 5.5, "at": 2.0}
    assert found.loss == pytest.approx(-5.0 * 5.5)
