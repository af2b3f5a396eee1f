"""--mode=export: draw a labelled synthetic dataset, `synthetic.npz`, from a trained model.

Image i is a function of (seed, i) and the model. Images are appended to a plain file as they are drawn,
so an interrupted export resumes. The `.npz` appears whole or not at all.
"""

import hashlib
import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, rundir, stages
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz
from ddpm_jax.models import in_training, labels_drawn, trained
from ddpm_jax.training import devices, signals


@stages.stage("export", "train", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    workdir = files.workdir
    model = trained.load_model(config, files.checkpoints())
    labels = labels_drawn.choose(config, model)
    shape = (len(labels), *datasets.image_shape(config))
    partial = workdir / "synthetic.partial"
    file = begin(partial, resumes=files.unfinished() is not None)
    draw(config, model, labels, file, keep=lambda: files.keep({}))
    if not model.knows_labels:
        print("[export] the model is unconditional, so the set has no labels", flush=True)
    devices.barrier("export")
    images = np.memmap(file, np.uint8, "r", shape=shape)
    meta = {
        "reads": files.notes._asdict(),
        "seed": config.seed,
        "checkpoint": model.facts["step"],
        "solver": config.sampling.solver,
        "num_steps": config.sampling.num_steps,
        "guidance_scale": config.sampling.guidance_scale,
        "versions": rundir.versions(),
    }
    sha256 = hashlib.sha256(images.data).hexdigest()
    if devices.is_writer():
        for unfinished in workdir.glob(".synthetic.npz.*"):  # left by a process that was killed
            unfinished.unlink()
        npz.save(
            files.output(rundir.synthetic(workdir)),
            images,
            labels if model.knows_labels else None,
            model.class_names,
            meta,
            arr_keys=config.export.openai_keys,
        )
        shutil.rmtree(partial)
    devices.barrier("exported")  # all processes see the set
    return {
        "checkpoint": model.facts["step"],
        "num_images": len(labels),
        "class_counts": np.bincount(labels, minlength=len(model.class_names))
        if model.knows_labels
        else None,
        "image_sha256": sha256,
        "seed": config.seed,
    }


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
    labels: np.ndarray,
    file: pathlib.Path,
    keep: Callable[[], None],
) -> None:
    """Append the missing images. A signal ends the program; the images drawn so far stay.

    `keep` is called before the first append, when everything that the images depend on has been read.
    """
    size = int(np.prod(datasets.image_shape(config)))
    done = min(file.stat().st_size // size, len(labels))
    batches = trained.build_draw(config, model.net, model.table, "export")
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
        made = batches(model.weights, labels[done:], done) if done < len(labels) else iter(())
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
                why = received() or "another process was asked to end"
                print(
                    f"{why}: stopped at {done} of {len(labels)} images; run the same command to resume",
                    file=sys.stderr,
                )
                sys.exit(signals.STOPPED)
