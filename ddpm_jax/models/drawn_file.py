"""Images drawn into a plain file, to which an interrupted export appends what is missing."""

import pathlib
import shutil
from collections.abc import Callable

import numpy as np
from jaxtyping import Int32
from ml_collections import ConfigDict

from ddpm_jax import progress
from ddpm_jax.assembly import datasets
from ddpm_jax.models import in_training, trained
from ddpm_jax.training import devices, signals


def begin(partial: pathlib.Path, *, resumes: bool) -> pathlib.Path:
    """The file to append to. Unless the export resumes, removes what another model or sampler left."""
    file = partial / "images.u8"
    if devices.is_writer():
        if partial.exists() and not resumes:
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        file.touch()
    devices.barrier("export begins")
    return file


def draw(
    config: ConfigDict,
    model: trained.Model,
    labels: Int32[np.ndarray, " N"],
    starts: trained.Starts | None,
    file: pathlib.Path,
    keep: Callable[[], None],
) -> None:
    """Append the missing images. A signal ends the program; the images drawn so far stay.

    `keep` is called before the first append, when everything that the images depend on has been read.
    """
    size = int(np.prod(datasets.image_shape(config)))
    done = min(file.stat().st_size // size, len(labels))
    # A program of another batch shape may round otherwise, so the rest is drawn in the batches that an
    # undisturbed export draws.
    at_once = trained.rows_at_once(config, len(labels))
    if done < len(labels):
        done -= done % at_once
    batches = trained.build_draw(config, model.net, model.table, "export", starts)
    writes = devices.is_writer()
    with (
        file.open("r+b" if writes else "rb") as out,
        progress.bar("export", len(labels), "images", done) as show,
        signals.deferred() as received,
        in_training.watched(config) as alive,
    ):
        if writes:
            out.truncate(done * size)
            out.seek(done * size)
        stop = devices.agreed(devices.place(), received)
        rest = labels[done:]
        made = batches(model.weights, rest, done, at_once) if len(rest) else iter(())
        for number, images in enumerate(made):
            if number == 0:
                keep()
            if writes:
                out.write(images.tobytes())
                out.flush()
            done += len(images)
            show(done)
            alive()
            if stop():
                signals.end(received(), f"stopped at {done} of {len(labels)} images")
