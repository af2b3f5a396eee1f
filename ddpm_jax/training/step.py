"""The training step: a pure function of state, batch and key, from any loss."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from ddpm_jax.training.state import SEEN, Past, Totals, TrainState, add_to_totals, with_past
from ddpm_jax.types import Batch, LossFn, Params, Scalars

TrainStep = Callable[[TrainState, Batch, Key[Array, ""]], TrainState]
EvalStep = Callable[[Params, Batch, Key[Array, ""]], Scalars]
EmaDecay = Callable[[Int[Array, ""]], Float[Array, ""]]
Gain = Callable[[Int[Array, ""]], Float[Array, ""]]
"""The weight of the newest parameters in an average, from the number of steps before this one."""
Move = Callable[[TrainState], TrainState]


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: EmaDecay,
    accumulate: int = 1,
    unroll: bool = False,
    skip_nonfinite: bool = False,
    axis_name: str | None = None,
    past: Past | None = None,
    averages: Mapping[str, Gain] = MappingProxyType({}),
) -> TrainStep:
    """`step(state, batch, key) -> state`, still to be compiled (`compilation.compile_step`).

    `key` is the run's key, the same at every step: the step folds in its own number.
    `accumulate` splits the batch into that many parts, whose gradients are averaged; `unroll`
    writes them out one after another, which XLA:CPU needs: there a convolution's gradient is 15 to
    90 times slower inside a loop. `skip_nonfinite` skips a step that is not finite and counts it,
    instead of freezing the state for the loop to stop. `axis_name` is for `pmap` only. `averages` are
    those that the state has been created with.
    """

    def step(state: TrainState, batch: Batch, key: Key[Array, ""]) -> TrainState:
        key = _device_key(jax.random.fold_in(key, state.step), axis_name)
        bound = with_past(loss_fn, state.past, state.step)
        gradient = mean_gradient(bound, accumulate, unroll)
        (loss, metrics), grads = _mean(gradient(state.params, batch, key), axis_name)
        seen = metrics.pop(SEEN, None)
        metrics = metrics | {"loss": loss, "grad_norm": optax.tree.norm(grads)}

        @partial(jax.jit, inline=True)  # traced once for both uses in `_choose`
        def moved(state: TrainState) -> TrainState:
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            decay = ema_decay(state.step)
            return state.replace(
                step=state.step + 1,
                params=params,
                ema_params=_moved_by(1.0 - decay, state.ema_params, params),
                averages={
                    name: _moved_by(gain(state.step), state.averages[name], params)
                    for name, gain in averages.items()
                },
                opt_state=opt_state,
                totals=add_to_totals(state.totals, metrics),
                past=past.update(state.past, seen) if past else state.past,
            )

        finite = jnp.isfinite(loss) & jnp.isfinite(metrics["grad_norm"])
        if skip_nonfinite:
            return _choose(finite, moved, _skipped, state)
        return _choose(finite & (state.nonfinite_step < 0), moved, _frozen, state)

    return step


def _moved_by(share: Float[Array, ""], average: Params, new: Params) -> Params:
    return jax.tree.map(lambda old, value: old + share * (value - old), average, new)


def make_eval_step(loss_fn: LossFn, *, axis_name: str | None = None) -> EvalStep:
    """`evaluate(params, batch, key) -> metrics`, means over the batch, `loss` among them."""

    def evaluate(params: Params, batch: Batch, key: Key[Array, ""]) -> Scalars:
        loss, metrics = loss_fn(params, batch, _device_key(key, axis_name))
        return _mean(metrics | {"loss": loss}, axis_name)

    return evaluate


def mean_gradient(loss_fn: LossFn, accumulate: int, unroll: bool) -> Callable[..., Any]:
    """`gradient(params, batch, key) -> ((loss, metrics), gradients)`, means over the parts."""
    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    if accumulate == 1:
        return gradient
    if accumulate < 1:
        raise ValueError(f"accumulate {accumulate} must be at least 1")

    def accumulated(params: Params, batch: Batch, key: Key[Array, ""]) -> Any:
        # Part a is rows a, a + A, a + 2A, ...: a contiguous block of rows lives on each device, so
        # that every part is spread over all devices and no row moves.
        parts = jax.tree.map(lambda rows: _interleave(rows, accumulate), batch)

        def add(total: Any, part: Any) -> tuple[Any, None]:
            number, rows = part
            new = gradient(params, rows, jax.random.fold_in(key, number))
            return jax.tree.map(jnp.add, total, new), None

        shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda rows: rows[0], parts), key)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, (jnp.arange(accumulate), parts), unroll=unroll)
        return jax.tree.map(lambda leaf: leaf / accumulate, total)

    return accumulated


def _interleave(rows: Array, parts: int) -> Array:
    if rows.shape[0] % parts:
        raise ValueError(f"a batch of {rows.shape[0]} rows does not divide into {parts} parts")
    return rows.reshape(rows.shape[0] // parts, parts, *rows.shape[1:]).swapaxes(0, 1)


def _device_key(key: Key[Array, ""], axis_name: str | None) -> Key[Array, ""]:
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def _mean(tree: Any, axis_name: str | None) -> Any:
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def _choose(condition: Array, yes: Move, no: Move, state: TrainState) -> TrainState:
    """`yes(state)` or `no(state)`.

    A CPU runs only the branch taken, in place. To select between both would take four times longer:
    XLA:CPU copies parameters and moments first, and computes an update once for every array that
    depends on it. A GPU selects, since for a branch it would wait until the condition reaches the host.
    """

    def select(state: TrainState) -> TrainState:
        return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes(state), no(state))

    def branch(state: TrainState) -> TrainState:
        return jax.lax.cond(condition, yes, no, state)

    return jax.lax.platform_dependent(state, cpu=branch, default=select)


def _skipped(state: TrainState) -> TrainState:
    totals: Totals = state.totals
    return state.replace(step=state.step + 1, totals=totals.replace(skipped=totals.skipped + 1.0))


def _frozen(state: TrainState) -> TrainState:
    first = jnp.where(state.nonfinite_step < 0, state.step, state.nonfinite_step)
    return state.replace(nonfinite_step=first)
