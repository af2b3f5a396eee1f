"""Find what was not finite: replay one step from the state that the training step froze before it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from ddpm_jax.training.state import SEEN, TrainState, with_past
from ddpm_jax.training.step import mean_gradient
from ddpm_jax.types import Batch, LossFn


class Findings(NamedTuple):
    """Numbers of values that are not finite, for each leaf that has any."""

    step: int
    loss: float
    metrics: dict[str, float]
    batch: dict[str, int]
    params: dict[str, int]
    gradients: dict[str, int]

    def __str__(self) -> str:
        lines = [f"step {self.step}: loss {self.loss}"]
        lines += [f"metric {name}: {value}" for name, value in self.metrics.items()]
        for part in ("batch", "params", "gradients"):
            leaves = getattr(self, part)
            listed = ", ".join(f"{name} ({count})" for name, count in leaves.items())
            lines.append(f"not finite in {part}: {listed or 'nothing'}")
        return "\n".join(lines)


def inspect(
    loss_fn: LossFn,
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    accumulate: int = 1,
    unroll: bool = False,
) -> Findings:
    """Inspect the step that `state`, `batch` and the run's `key` lead to, without taking it."""

    @jax.jit
    def replay(params: Any, batch: Batch, key: Key[Array, ""]) -> Any:
        bound = with_past(loss_fn, state.past, state.step)
        gradient = mean_gradient(bound, accumulate, unroll)
        (loss, metrics), gradients = gradient(params, batch, key)
        parts = {"batch": batch, "params": params, "gradients": gradients}
        return loss, metrics, jax.tree.map(lambda leaf: jnp.sum(~jnp.isfinite(leaf)), parts)

    step_key = jax.random.fold_in(key, state.step)
    loss, metrics, counts = replay(state.params, batch, step_key)
    return Findings(
        step=int(state.step),
        loss=float(loss),
        metrics={name: float(value) for name, value in metrics.items() if name != SEEN},
        **{part: _positive(tree) for part, tree in counts.items()},
    )


def _positive(counts: Any) -> dict[str, int]:
    leaves = jax.tree_util.tree_leaves_with_path(counts)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): int(n) for path, n in leaves}
    return {name: count for name, count in named.items() if count}
