"""The training loop. It never waits for the device, except for the numbers of an older step."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from ddpm_jax.training import state as states
from ddpm_jax.training.state import Totals, TrainState
from ddpm_jax.training.step import EvalStep, TrainStep
from ddpm_jax.types import Batch, Params

# Calls queued on the device. More would not keep it busier, but each holds a batch in memory and
# delays the checkpoint after a signal.
IN_FLIGHT = 2


class Action(NamedTuple):
    """`run(step, state)` after every `every`-th step; the loop waits for that step.

    The next step destroys the state's arrays, so nothing may keep them.
    """

    every: int
    run: Callable[[int, TrainState], None]


class NonFinite(FloatingPointError):
    """The loss or the gradient was not finite. `state` is as it was before that step."""

    def __init__(self, step: int, state: TrainState):
        super().__init__(
            f"the loss or its gradient is not finite at step {step} (counted from 0: batch {step})"
        )
        self.step = step
        self.state = state


def run(
    step: TrainStep,
    state: TrainState,
    batches: Iterable[Batch],
    *,
    key: Key[Array, ""],
    num_steps: int,
    log_every: int,
    on_log: Callable[[int, dict[str, float]], None],
    actions: Sequence[Action] = (),
    stop: Callable[[], object] = lambda: False,
    num_in: Callable[[Batch], int] = lambda batch: 1,
) -> TrainState:
    """Train from `state.step` to `num_steps`, or until `stop()` is true.

    The first of `batches` is the batch of step `state.step`. Raises `NonFinite`. A log line covers
    the steps since the previous log line, even across an interruption, and is written before any later
    action. `num_in` gives the number of steps that `step` takes with a batch; they must not cross a log
    line or an action: see `calls.sizes`.
    """
    done = int(state.step)
    batches = iter(batches)
    flags: deque[Array] = deque()
    unread: deque[tuple[int, Totals, Array]] = deque()
    while done < num_steps and not stop():
        batch = _next(batches, done, num_steps)
        state = step(state, batch, key)
        done += num_in(batch)
        flags.append(jnp.copy(state.nonfinite_step))
        if len(flags) > IN_FLIGHT:
            _raise_if_set(flags.popleft(), state)
        _report(unread, on_log)
        if done % log_every == 0 or done == num_steps:
            totals, state = states.take_totals(state)
            unread.append((done, totals, states.ema_distance(state)))
        due = [action for action in actions if done % action.every == 0]
        if due:
            _raise_if_set(state.nonfinite_step, state)
            _report(unread, on_log)
        for action in due:
            action.run(done, state)
    _raise_if_set(state.nonfinite_step, state)
    _report(unread, on_log)
    return state


def evaluate(
    step: EvalStep, params: Params, batches: Iterable[Batch], key: Key[Array, ""]
) -> dict[str, float]:
    """Means over all rows of `batches`; batch i draws its noise from (key, i)."""
    parts: list[tuple[int, dict[str, Array]]] = []
    for number, batch in enumerate(batches):
        size = next(iter(batch.values())).size  # proportional to the rows, however they are sharded
        parts.append((size, step(params, batch, jax.random.fold_in(key, number))))
    if not parts:
        raise ValueError("there is no batch to evaluate on")
    total = sum(size for size, _ in parts)
    return {
        name: sum(size * float(metrics[name]) for size, metrics in parts) / total
        for name in parts[0][1]
    }


def _next(batches: Iterator[Batch], done: int, num_steps: int) -> Batch:
    batch = next(batches, None)
    if batch is None:
        raise ValueError(f"the batches ended after step {done} of {num_steps}")
    return batch


def _raise_if_set(flag: Array, state: TrainState) -> None:
    if (step := int(flag)) >= 0:
        raise NonFinite(step, state)


def _report(
    unread: deque[tuple[int, Totals, Array]], on_log: Callable[[int, dict[str, float]], None]
) -> None:
    while unread:
        step, totals, distance = unread.popleft()
        on_log(step, states.log_values(totals) | {"ema_distance": float(distance)})
