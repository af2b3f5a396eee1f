"""Checkpoints that are complete or absent: Orbax's files with a manifest of checksums.

A checkpoint is written as `STEP.saving`, its manifest last, and becomes `STEP` by one rename: a folder
whose name is a number was complete once. `params`, `ema_params`, each further average, `rest` and the past
of a loss that has one are separate Orbax items, so that inference reads only what it needs.
"""

import contextlib
import logging
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import orbax.checkpoint as ocp

from ddpm_jax.training import checkpoint_items, devices, manifest, retention
from ddpm_jax.training.manifest import Damaged
from ddpm_jax.training.state import TrainState
from ddpm_jax.types import Params

log = logging.getLogger(__name__)


class NoGoodCheckpoint(OSError):
    """There are checkpoints, and none of them can be read."""


class Restored(NamedTuple):
    """`facts` is the manifest: step, validation_loss, extra, libraries, arrays."""

    state: TrainState
    facts: dict[str, Any]


class RestoredParams(NamedTuple):
    params: Params
    facts: dict[str, Any]


Save = Callable[..., None]
"""`save(state, validation_loss=None, extra=None)`: see `saver`."""


@contextlib.contextmanager
def saver(
    directory: str | os.PathLike[str], *, keep: int, keep_every: int = 0, save_every: int = 1
) -> Iterator[Save]:
    """Yields `save(state, validation_loss=None, extra=None)`, which returns once `state` is copied.

    The rest runs in the background; an error in it is raised by the next `save` or on exit. `extra` is
    anything JSON can hold. The newest `keep` checkpoints and the one with the lowest `validation_loss`
    are kept, and those whose step is a multiple of `keep_every`, if it is above 0; others are removed once a
    newer one has been verified. Only multiples of `save_every` count among the newest, and the very last one.
    Saving a step again does nothing.
    """
    if keep < 1:
        raise ValueError(f"keep {keep} must be at least 1")
    folder = pathlib.Path(directory).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    tidy = partial(retention.tidy, keep=keep, keep_every=keep_every, save_every=save_every)
    orbax = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
    unfinished: list[tuple[int, Future[None]]] = []
    saved: set[int] = set()

    def finish() -> None:
        while unfinished:
            step, future = unfinished.pop()
            with _explained(folder, step):
                future.result()

    def save(
        state: TrainState,
        validation_loss: float | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        step = int(state.step)
        if step in saved:
            return
        if int(state.nonfinite_step) >= 0:
            raise FloatingPointError(f"step {step} is not finite, and is not saved")
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise FloatingPointError(f"the validation loss at step {step} is {validation_loss}")
        finish()
        stored = checkpoint_items.of(state)
        facts = {
            "step": step,
            "validation_loss": validation_loss,
            "extra": dict(extra or {}),
            "arrays": {name: manifest.arrays(tree) for name, tree in stored.items()},
        }
        path = folder / f"{step}.saving"
        with _explained(folder, step):
            saved_as = {name: ocp.args.StandardSave(tree) for name, tree in stored.items()}
            orbax.save(path, args=ocp.args.Composite(**saved_as), force=True)
        unfinished.append((step, pool.submit(_complete, orbax, folder, facts, tidy)))
        saved.add(step)

    with ThreadPoolExecutor(1, thread_name_prefix="checkpoint") as pool:
        try:
            yield save
        finally:
            try:
                finish()
            finally:
                orbax.close()


def restore(directory: str | os.PathLike[str], target: TrainState) -> Restored | None:
    """The newest good checkpoint, or None if there has never been one.

    `target` gives shapes, dtypes and shardings (`devices.abstract`), for any number of devices.
    Damaged checkpoints are named in a warning, left alone, and skipped. Raises `NoGoodCheckpoint` if
    no other is left, `ValueError` if the arrays do not match `target`.
    """
    found = _newest_good(pathlib.Path(directory).absolute(), checkpoint_items.of(target))
    if found is None:
        return None
    stored, facts = found
    return Restored(checkpoint_items.into(target, stored), facts)


def restore_params(
    directory: str | os.PathLike[str],
    target: Params,
    *,
    item: str = "ema_params",
    step: int | None = None,
) -> RestoredParams | None:
    """Restore one item, for inference `ema_params` or an average's; safe while a trainer keeps saving.

    If a `step` is given and damaged, no older one replaces it: raises `Damaged`.
    """
    if item not in checkpoint_items.NAMES and not item.startswith(checkpoint_items.average("")):
        raise ValueError(
            f"item {item!r} is not known; there are {', '.join(map(repr, checkpoint_items.NAMES))}"
        )
    folder = pathlib.Path(directory).absolute()
    if step is None:
        found = _newest_good(folder, {item: target})
    elif step in retention.steps(folder):
        try:
            found = _read(folder, step, {item: target})
        except Damaged as fault:
            raise Damaged(f"checkpoint {step} in {folder} is damaged: {fault}") from fault
    else:
        raise FileNotFoundError(
            f"{folder} has no checkpoint {step}; there are {retention.steps(folder)}"
        )
    return RestoredParams(found[0][item], found[1]) if found else None


def _newest_good(
    folder: pathlib.Path, items: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    faults: dict[int, Damaged] = {}
    while untried := [step for step in retention.steps(folder) if step not in faults]:
        try:
            return _read(folder, untried[-1], items)
        except Damaged as fault:
            # A running trainer removes old checkpoints, even one that is being read.
            if (folder / str(untried[-1])).exists():
                log.warning("checkpoint %d is passed over: %s", untried[-1], fault)
                faults[untried[-1]] = fault
    if not faults:
        return None
    listed = "; ".join(f"{step}: {fault}" for step, fault in faults.items())
    raise NoGoodCheckpoint(f"none of the checkpoints in {folder} can be read: {listed}")


def _read(
    folder: pathlib.Path, step: int, items: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    path = folder / str(step)
    facts = _verified(path, step, items)
    manifest.refuse_other_arrays(step, {name: facts["arrays"][name] for name in items}, items)
    wanted = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
            stored = orbax.restore(path, args=ocp.args.Composite(**wanted))
    except Exception as error:  # Orbax and TensorStore raise many kinds
        raise Damaged(f"it cannot be read: {error}") from error
    return {name: stored[name] for name in items}, facts


def _verified(path: pathlib.Path, step: int, items: Mapping[str, Any]) -> dict[str, Any]:
    """The facts. All processes must read the same checkpoint: Orbax waits for all of them."""
    fault, facts = None, {}
    try:
        facts = manifest.verify(path, items)
        if not retention.describes(facts) or not items.keys() <= facts["arrays"].keys():
            fault = Damaged(f"{manifest.NAME} lacks what a checkpoint has to say")
        elif facts["step"] != step:
            fault = Damaged(f"{manifest.NAME} is that of step {facts['step']}")
    except Damaged as damaged:
        fault = damaged
    if devices.in_any(fault is not None):
        raise fault or Damaged("another process found it damaged")
    return facts


def _complete(
    orbax: ocp.AsyncCheckpointer,
    folder: pathlib.Path,
    facts: Mapping[str, Any],
    tidy: Callable[[pathlib.Path, int], None],
) -> None:
    """Run in the background after Orbax finishes: manifest, rename, verify, and only then tidy up."""
    orbax.wait_until_finished()
    if not devices.is_writer():
        return
    name = str(facts["step"])
    manifest.write(folder / f"{name}.saving", facts)
    retention.publish(folder, facts["step"])
    manifest.verify(folder / name)
    tidy(folder, facts["step"])


@contextlib.contextmanager
def _explained(folder: pathlib.Path, step: int) -> Iterator[None]:
    """Report any error of Orbax, TensorStore or the disk in one sentence."""
    try:
        yield
    except Exception as error:
        retention.discard(folder, step)
        known = sorted(retention.sound(folder))
        left = f"the newest one before it is {known[-1]}" if known else "there is none before it"
        raise OSError(f"checkpoint {step} was not saved in {folder}: {error}; {left}") from error
