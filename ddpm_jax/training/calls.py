"""Several steps in one call of the compiled program, and images that stay on the devices.

Neither changes what a step does, but XLA compiles a program as a whole: parameters agree with those of
single calls up to rounding, as they do on another number of devices. The same settings give the same
bits, resumed or not.
"""

from collections.abc import Iterator, Sequence

import jax
from jaxtyping import Array, Key

from ddpm_jax.training.state import TrainState
from ddpm_jax.training.step import TrainStep
from ddpm_jax.types import Batch


def of_any_batch(step: TrainStep, *, unroll: bool) -> TrainStep:
    """Make `step` accept one batch or several in one call, told apart by the shape of `label`.

    `label` [B]: one step. `label` [K, B]: K steps in sequence, every array stacked. With `index`, [B] or
    [K, B], in its place, each step gathers those rows of the other arrays, which are then whole sets of
    images and never stacked. `unroll` is as in `make_train_step`.
    """

    def gathering(state: TrainState, batch: Batch, key: Key[Array, ""]) -> TrainState:
        kept = _resident(batch)
        sent = {name: array for name, array in batch.items() if name not in (*kept, "index")}
        return step(state, sent | {name: kept[name][batch["index"]] for name in kept}, key)

    def call(state: TrainState, batch: Batch, key: Key[Array, ""]) -> TrainState:
        if _rows(batch).ndim == 1:
            return gathering(state, batch, key)
        kept = _resident(batch)
        each = {name: array for name, array in batch.items() if name not in kept}

        def one(state: TrainState, rows: Batch) -> tuple[TrainState, None]:
            return gathering(state, kept | dict(rows), key), None

        return jax.lax.scan(one, state, each, unroll=unroll)[0]

    return call


def num_steps(batch: Batch) -> int:
    """Number of steps that a call with this batch takes."""
    rows = _rows(batch)
    return rows.shape[0] if rows.ndim == 2 else 1


def sizes(first: int, together: int, stops: Sequence[int]) -> Iterator[int]:
    """Yield, without end, the number of steps of each call from step `first` on: `together` or 1.

    No call crosses a multiple of any of `stops`. The sizes depend on the step alone, so that a run
    resumed from the end of a call is divided like one that was never interrupted.
    """
    done = first
    while True:
        left = min((done // every + 1) * every for every in stops) - done
        size = together if together <= left else 1
        yield size
        done += size


def _rows(batch: Batch) -> Array:
    """The array with one number per row."""
    return batch["index" if "index" in batch else "label"]


def _resident(batch: Batch) -> dict[str, Array]:
    """The arrays that each step gathers its rows from."""
    if "index" not in batch:
        return {}
    return {name: array for name, array in batch.items() if name != "index"}
