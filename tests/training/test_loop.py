import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regression

from ddpm_jax.training import compilation, devices, fingerprint, loop
from ddpm_jax.training import step as steps


@pytest.fixture
def one_device():
    return devices.place("jit", jax.devices()[:1])


def test_the_loop_ends_at_num_steps_and_logs_each_period(one_device):
    state, lines = regression.train(one_device, 250, log_every=100)
    assert int(state.step) == 250
    assert [step for step, _ in lines] == [100, 200, 250]
    assert lines[2][1]["loss"] < lines[0][1]["loss"]


def test_a_log_line_is_the_mean_over_its_period(one_device):
    _, each = regression.train(one_device, 12, log_every=1)
    _, periods = regression.train(one_device, 12, log_every=4)
    for number, (step, values) in enumerate(periods):
        assert step == 4 * number + 4
        losses = [line["loss"] for _, line in each[4 * number : 4 * number + 4]]
        assert values["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
        assert values["loss_max"] == pytest.approx(max(losses))


def test_going_on_from_a_state_gives_the_same_bits_and_the_same_lines(one_device):
    straight, all_lines = regression.train(one_device, 25, log_every=10)
    half, first_lines = regression.train(one_device, 25, log_every=10, stop=stop_after(13))
    assert int(half.step) == 13
    rest, last_lines = regression.train(one_device, 25, log_every=10, state=half)
    assert first_lines + last_lines == all_lines
    for a, b in zip(jax.tree.leaves(straight), jax.tree.leaves(rest), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_spike_of_one_step_is_seen_in_the_line_of_its_period_and_in_no_other(one_device):
    def spiked(number):
        rows = regression.batch(number)
        return rows | {"y": rows["y"] * (1.0 + 100.0 * (number == 13))}

    _, lines = regression.train(one_device, 30, batches=spiked)
    _, each = regression.train(one_device, 14, log_every=1, batches=spiked)
    before, at, after = (values for _, values in lines)
    for name in ("loss", "grad_norm"):
        assert at[f"{name}_max"] == pytest.approx(each[13][1][name], rel=1e-5)
        assert at[f"{name}_max"] > 10 * max(before[f"{name}_max"], after[f"{name}_max"])


def test_an_average_that_is_dead_is_seen_in_the_log(one_device):
    _, living = regression.train(one_device, 60)
    start = devices.replicate(one_device, regression.fresh())
    begin = jax.tree.map(np.asarray, start.params)
    end, dead = regression.train(
        one_device, 60, state=start, ema_decay=lambda step: jnp.float32(1.0)
    )
    distances = [values["ema_distance"] for _, values in dead]
    assert distances[-1] > 4 * living[-1][1]["ema_distance"]
    # Left behind at the first step: it is as far as the parameters have gone.
    moved = jax.tree.map(np.subtract, begin, end.params)
    norms = [
        np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(t))) for t in (moved, end.params)
    ]
    assert distances[-1] == pytest.approx(norms[0] / norms[1], rel=1e-4)


def stop_after(num_steps):
    calls = iter(range(num_steps + 1))
    return lambda: next(calls) == num_steps


def test_the_lines_before_an_action_are_written_before_it(one_device):
    story = []
    state = devices.replicate(one_device, regression.fresh())
    loop.run(
        regression.compiled_step(one_device, regression.noisy_loss),
        state,
        (devices.put_batch(one_device, regression.batch(i)) for i in range(9)),
        key=jax.random.key(0),
        num_steps=6,
        log_every=2,
        on_log=lambda step, values: story.append(f"log {step}"),
        actions=[loop.Action(2, lambda step, state: story.append(f"act {step} {int(state.step)}"))],
    )
    assert story == ["log 2", "act 2 2", "log 4", "act 4 4", "log 6", "act 6 6"]


def test_without_an_action_a_line_is_written_one_step_later(one_device):
    story = []

    def batches():
        for number in range(10):
            story.append(f"batch {number}")
            yield devices.put_batch(one_device, regression.batch(number))

    loop.run(
        regression.compiled_step(one_device, regression.noisy_loss),
        devices.replicate(one_device, regression.fresh()),
        batches(),
        key=jax.random.key(0),
        num_steps=4,
        log_every=2,
        on_log=lambda step, values: story.append(f"log {step}"),
    )
    assert story == ["batch 0", "batch 1", "batch 2", "log 2", "batch 3", "log 4"]


def poisoned(number):
    rows = regression.batch(number)
    if number == 7:
        rows["x"][3, 1] = np.nan
    return rows


@pytest.mark.parametrize("num_steps", [8, 30])
def test_a_loss_that_is_not_finite_stops_the_run_naming_the_step(one_device, num_steps):
    with pytest.raises(FloatingPointError, match=r"not finite at step 7 \(counted from 0: batch 7"):
        regression.train(one_device, num_steps, batches=poisoned)


def test_the_state_handed_over_is_the_one_before_the_bad_step(one_device):
    with pytest.raises(loop.NonFinite) as caught:
        regression.train(one_device, 30, batches=poisoned)
    before, _ = regression.train(one_device, 7)
    assert caught.value.step == 7
    assert fingerprint.sha256(caught.value.state.params) == fingerprint.sha256(before.params)


def test_a_bad_state_reaches_no_action(one_device):
    seen = []
    action = loop.Action(4, lambda step, state: seen.append(step))
    with pytest.raises(loop.NonFinite):
        regression.train(one_device, 30, batches=poisoned, actions=[action])
    assert seen == [4]


def test_a_run_told_to_skip_goes_on_and_says_how_many(one_device):
    state, lines = regression.train(one_device, 10, batches=poisoned, skip_nonfinite=True)
    assert int(state.step) == 10
    assert lines[0][1]["skipped_steps"] == 1.0
    assert np.isfinite(lines[0][1]["loss"])


def test_batches_that_end_too_early_are_an_error(one_device):
    with pytest.raises(ValueError, match="the batches ended after step 3 of 5"):
        loop.run(
            regression.compiled_step(one_device, regression.noisy_loss),
            devices.replicate(one_device, regression.fresh()),
            [devices.put_batch(one_device, regression.batch(i)) for i in range(3)],
            key=jax.random.key(0),
            num_steps=5,
            log_every=5,
            on_log=lambda step, values: None,
        )


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_an_evaluation_weighs_batches_by_their_rows(parallel):
    placement = devices.place(parallel, jax.devices()[:2])

    def loss_fn(params, batch, key):
        return jnp.mean(batch["x"]), {}

    evaluate = compilation.compile_eval(
        placement, steps.make_eval_step(loss_fn, axis_name=placement.axis_name)
    )
    batches = [np.full(6, 1.0, np.float32), np.full(2, 5.0, np.float32)]
    put = [devices.put_batch(placement, {"x": rows}) for rows in batches]
    values = loop.evaluate(evaluate, {}, put, jax.random.key(0))
    assert values == {"loss": pytest.approx((6 * 1 + 2 * 5) / 8)}


def test_an_evaluation_draws_other_noise_for_each_batch(one_device):
    evaluate = compilation.compile_eval(
        one_device,
        steps.make_eval_step(lambda params, batch, key: (jax.random.normal(key), {})),
    )
    key = jax.random.key(1)
    batches = [devices.put_batch(one_device, {"x": np.zeros(4)})] * 2
    draws = [float(jax.random.normal(jax.random.fold_in(key, i))) for i in (0, 1)]
    assert loop.evaluate(evaluate, {}, batches, key)["loss"] == pytest.approx(np.mean(draws))


def test_there_is_no_evaluation_of_nothing(one_device):
    evaluate = steps.make_eval_step(regression.quiet_loss)
    with pytest.raises(ValueError, match="no batch to evaluate on"):
        loop.evaluate(evaluate, {}, [], jax.random.key(0))
