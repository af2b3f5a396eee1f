"""Which checkpoints a folder holds, and which of them are kept."""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

from ddpm_jax.training import manifest
from ddpm_jax.training.manifest import Damaged

LEFTOVER = re.compile(r"\d+\.(saving|replaced|removing)\b.*")


def steps(directory: str | os.PathLike[str]) -> list[int]:
    """Steps of all checkpoints, damaged ones included, oldest first."""
    folder = pathlib.Path(directory)
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name) for path in folder.iterdir() if re.fullmatch(r"0|[1-9]\d*", path.name)
    )


def best_step(directory: str | os.PathLike[str]) -> int | None:
    """The step with the lowest validation loss, according to the manifests."""
    losses = {step: facts["validation_loss"] for step, facts in sound(directory).items()}
    known = {step: loss for step, loss in losses.items() if loss is not None}
    return min(known, key=lambda step: (known[step], step)) if known else None


def publish(folder: pathlib.Path, step: int) -> None:
    """Rename `STEP.saving` to `STEP`."""
    if (folder / str(step)).exists():
        _put_aside(folder, str(step))
    (folder / f"{step}.saving").rename(folder / str(step))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_aside(folder: pathlib.Path, name: str) -> None:
    """Keep a damaged checkpoint as evidence when a run resumed from an older one saves the step again."""
    try:
        manifest.verify(folder / name)
        aside = "replaced"
    except Damaged:
        aside = "damaged"
    number = 1
    while (folder / f"{name}.{aside}-{number}").exists():
        number += 1
    (folder / name).rename(folder / f"{name}.{aside}-{number}")


def tidy(
    folder: pathlib.Path, newest: int, keep: int, keep_every: int = 0, save_every: int = 1
) -> None:
    """Keep the best and the last `keep` checkpoints up to `newest`, which is complete.

    Also those whose step is a multiple of `keep_every`, if it is above 0. A checkpoint at another step than
    the multiples of `save_every`, which a signal has made, takes the place of none once there is a newer one.
    Other sound ones and unfinished ones are removed. A later step exists only if it was found damaged
    and the run resumed from an older one.
    """
    known = sorted(step for step in sound(folder) if step <= newest)
    ladder = {step for step in known if keep_every and step % keep_every == 0}
    counted = [step for step in known if step == newest or step % save_every == 0]
    for step in set(known) - set(counted[-keep:]) - {best_step(folder)} - ladder:
        # Rename first, which is atomic, so that no reader finds half a checkpoint.
        (folder / str(step)).rename(folder / f"{step}.removing")
    for path in folder.iterdir():
        if LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path)


def discard(folder: pathlib.Path, step: int) -> None:
    """Remove what a failed save has left: if the disk is full, the next one needs the room.

    Orbax may still be writing another part of it; the next `tidy` removes what then remains.
    """
    for path in folder.glob(f"{step}.saving*"):
        shutil.rmtree(path, ignore_errors=True)


def sound(directory: str | os.PathLike[str]) -> dict[int, dict[str, Any]]:
    """Facts by step, for checkpoints whose manifest is sound; their other files are not checked."""
    facts = {}
    for step in steps(directory):
        with contextlib.suppress(Damaged):
            facts[step] = manifest.read(pathlib.Path(directory) / str(step))
    return {step: content for step, content in facts.items() if describes(content)}


def describes(facts: Mapping[str, Any]) -> bool:
    """Whether a manifest describes a checkpoint; a sound one may describe something else."""
    loss, arrays = facts.get("validation_loss", ""), facts.get("arrays")
    return (
        isinstance(facts.get("step"), int)
        and (loss is None or isinstance(loss, float | int))
        and isinstance(facts.get("extra"), dict)
        and isinstance(arrays, dict)
        and all(isinstance(of_item, dict) for of_item in arrays.values())
        and all(
            isinstance(shape, str) and f"{name}{shape}".isprintable()
            for of_item in arrays.values()
            for name, shape in of_item.items()
        )
    )
