"""Several steps in one call, and images that stay on the device, on the regression that draws noise."""

import itertools

import jax
import numpy as np
import pytest
import regression

from ddpm_jax.training import calls, compilation, devices, fingerprint, loop
from ddpm_jax.training import step as steps

NUM_STEPS, TOGETHER, LOG_EVERY = 25, 4, 10
WAYS = pytest.mark.parametrize("resident", [False, True], ids=["sent", "resident"])


@pytest.fixture(scope="module")
def one_device():
    return devices.place("jit", jax.devices()[:1])


def compiled(placement):
    step = steps.make_train_step(
        regression.noisy_loss, regression.adam(), ema_decay=regression.DECAY
    )
    return compilation.compile_call(placement, calls.of_any_batch(step, unroll=True))


@pytest.fixture(scope="module")
def call(one_device):
    return compiled(one_device)


def rows(number):
    return regression.batch(number) | {"label": np.zeros(24, np.int32)}


def poisoned(number):
    batch = rows(number)
    if number == 7:
        batch["x"][3, 1] = np.nan
    return batch


def batches(placement, first, resident, rows):
    """As `assembly.training.batches` puts them; step i reads rows 24 i to 24 i + 23 of what is resident."""
    kept, host = {}, rows
    if resident:
        whole = [rows(number) for number in range(NUM_STEPS + TOGETHER)]
        kept = devices.replicate(
            placement, {name: np.concatenate([batch[name] for batch in whole]) for name in "xy"}
        )

        def host(number):
            index = np.arange(24 * number, 24 * number + 24, dtype=np.int32)
            return {"index": index}

    done = first
    for num in calls.sizes(first, TOGETHER, [LOG_EVERY, NUM_STEPS]):
        several = [host(number) for number in range(done, done + num)]
        yield devices.put_batches(placement, several) | kept
        done += num


def train(placement, call, resident, state=None, rows=rows, stop=lambda: False):
    state = devices.replicate(placement, regression.fresh()) if state is None else state
    lines = []
    end = loop.run(
        call,
        state,
        batches(placement, int(state.step), resident, rows),
        key=jax.random.key(regression.KEY_SEED),
        num_steps=NUM_STEPS,
        log_every=LOG_EVERY,
        on_log=lambda step, values: lines.append((step, values)),
        stop=stop,
        num_in=calls.num_steps,
    )
    return end, lines


@WAYS
def test_the_steps_are_those_of_single_calls_but_for_rounding(one_device, call, resident):
    single, expected = regression.train(one_device, NUM_STEPS, log_every=LOG_EVERY)
    state, lines = train(one_device, call, resident)
    assert int(state.step) == NUM_STEPS
    for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert [step for step, _ in lines] == [10, 20, 25]
    for (_, ours), (_, theirs) in zip(lines, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


@WAYS
def test_a_run_resumed_from_the_end_of_a_call_ends_with_the_same_bits(one_device, call, resident):
    straight, all_lines = train(one_device, call, resident)
    asked = itertools.count()
    half, first_lines = train(one_device, call, resident, stop=lambda: next(asked) == 4)
    # 4 + 4 + 1 + 1: a third call of four would go over the line at 10.
    assert int(half.step) == 10
    rest, last_lines = train(one_device, call, resident, state=half)
    assert first_lines + last_lines == all_lines
    jax.tree.map(np.testing.assert_array_equal, straight, rest)


@WAYS
def test_a_step_that_is_not_finite_is_named_inside_of_a_call(one_device, call, resident):
    with pytest.raises(loop.NonFinite) as caught:
        train(one_device, call, resident, rows=poisoned)
    before, _ = regression.train(one_device, 7)
    assert caught.value.step == 7 and int(caught.value.state.step) == 7
    for ours, theirs in zip(
        jax.tree.leaves(caught.value.state.params), jax.tree.leaves(before.params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_rows_of_four_devices_are_those_of_one(one_device, call):
    placement = devices.place("jit", jax.devices()[:4])
    one, _ = train(one_device, call, resident=True)
    four, _ = train(placement, compiled(placement), resident=True)
    assert regression.gap(one.params, four.params) < 1e-5
    assert fingerprint.sha256(one.params) != fingerprint.sha256(regression.params())


def test_no_call_goes_over_a_stop():
    """By hand: 10, 15, 20 and 23 are stops."""
    sizes = itertools.islice(calls.sizes(0, 4, [10, 15, 23]), 12)
    assert list(sizes) == [4, 4, 1, 1, 4, 1, 4, 1, 1, 1, 1, 4]


def test_pmap_has_neither():
    with pytest.raises(ValueError, match=r"want training.parallel 'jit', got 'pmap'"):
        compilation.compile_call(devices.place("pmap"), lambda state, batch, key: state)
