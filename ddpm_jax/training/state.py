"""All that a training run carries from step to step, and so all that a checkpoint holds."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ddpm_jax.types import LossFn, Params

# The step adds these to whatever metrics the loss returns.
STEP_METRICS = ("loss", "grad_norm")
# A mean over a log period hides a spike of one step, so these are logged as maxima too.
PEAKS = ("loss", "grad_norm")


# The metric in which a loss with a past returns what it has seen.
SEEN = "seen"


class Past(NamedTuple):
    """What a loss keeps of earlier steps. The loss gets two more arguments: `past=`, and `step=`, the
    number of steps before this one. An empty dict is for a loss that needs only the latter.

    update: `update(past, seen) -> past` after each step that is taken, where `seen` is what the
    loss returned as `metrics["seen"]`: a pytree, averaged over parts and devices like the metrics.
    """

    start: Any
    update: Callable[[Any, Any], Any]


class Totals(flax.struct.PyTreeNode):
    """Sums since the log last took them, kept on the device so that nothing waits for them."""

    count: Any
    sums: dict[str, Any]
    peaks: dict[str, Any]
    skipped: Any


class TrainState(flax.struct.PyTreeNode):
    """`nonfinite_step` is -1 or the first step whose loss or gradient was not finite; from then on
    the state stays as it was before that step. `averages` are further averages of the parameters, by name."""

    step: Any
    params: Params
    ema_params: Params
    averages: dict[str, Params]
    opt_state: optax.OptState
    totals: Totals
    nonfinite_step: Any
    past: Any


def count_parameters(params: Params) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def create(
    params: Params,
    optimizer: optax.GradientTransformation,
    loss_fn: LossFn,
    batch: Any,
    past: Past | None = None,
    averages: Sequence[str] = (),
) -> TrainState:
    """The state before the first step. Only the shapes of `batch` are read: the loss is not run.

    `averages` names those that the step keeps besides the exponential one.
    """
    kept = past.start if past else ()
    bound = with_past(loss_fn, kept, jnp.zeros((), jnp.int32))
    _, metrics = jax.eval_shape(bound, params, batch, jax.random.key(0))
    taken = sorted(set(metrics) & set(STEP_METRICS))
    if taken:
        raise ValueError(f"the loss returns metrics named {taken}, which the step adds itself")
    names = (*STEP_METRICS, *(name for name in metrics if name != SEEN))

    @jax.jit  # one program, where each array would be one of its own
    def begin(params: Params, kept: Any) -> TrainState:
        # Copies, because the step donates its state: two leaves must not share a buffer.
        params, ema_params, *others = (
            jax.tree.map(jnp.array, params) for _ in range(2 + len(averages))
        )
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            ema_params=ema_params,
            averages=dict(zip(averages, others, strict=True)),
            opt_state=optimizer.init(params),
            totals=Totals(
                count=jnp.zeros(()),
                sums={name: jnp.zeros(()) for name in names},
                peaks={name: jnp.zeros(()) for name in PEAKS},
                skipped=jnp.zeros(()),
            ),
            nonfinite_step=jnp.full((), -1, jnp.int32),
            past=jax.tree.map(jnp.array, kept),
        )

    return begin(params, kept)


def with_past(loss_fn: Callable[..., Any], past: Any, step: Any) -> LossFn:
    """The loss with its past and the step bound; one without a past, which is (), is left as it is."""
    return loss_fn if past == () else partial(loss_fn, past=past, step=step)


def take_totals(state: TrainState) -> tuple[Totals, TrainState]:
    """The sums since the last call, and the state with the sums reset."""
    return state.totals, state.replace(totals=jax.tree.map(jnp.zeros_like, state.totals))


def add_to_totals(totals: Totals, metrics: dict[str, Array]) -> Totals:
    """Add one step."""
    first = totals.count == 0
    return totals.replace(
        count=totals.count + 1.0,
        sums={name: total + metrics[name] for name, total in totals.sums.items()},
        peaks={
            name: jnp.where(first, metrics[name], jnp.maximum(peak, metrics[name]))
            for name, peak in totals.peaks.items()
        },
    )


@jax.jit
def ema_distance(state: TrainState) -> Float[Array, ""]:
    """Distance of the average from the parameters, relative to the parameters.

    It is small while the average follows; a dead average (a decay of 1, a lost restore) falls behind.
    """
    difference = jax.tree.map(jnp.subtract, state.ema_params, state.params)
    return optax.tree.norm(difference) / jnp.maximum(optax.tree.norm(state.params), 1e-12)


def log_values(totals: Totals) -> dict[str, float]:
    """Means, `*_max` for the peaks, `skipped_steps` if there were any. Waits for the device."""
    totals = jax.tree.map(np.asarray, totals)
    values = {}
    if totals.count > 0:
        values = {name: float(total / totals.count) for name, total in totals.sums.items()}
        values |= {f"{name}_max": float(peak) for name, peak in totals.peaks.items()}
    if totals.skipped > 0:
        values["skipped_steps"] = float(totals.skipped)
    return values
