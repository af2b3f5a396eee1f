"""--mode=export: draw a labelled synthetic dataset, `synthetic.npz`, from a trained model.

Image i is a function of (seed, i) and the model, with `export.start` also of the training images. Images
are appended to a plain file as they are drawn, so an interrupted export resumes. The `.npz` appears whole
or not at all.
"""

import hashlib
import shutil
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, stages
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
from ddpm_jax.models import drawn_file, labels_drawn, starting_images, trained
from ddpm_jax.training import devices


@stages.stage("export", "train", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    workdir = files.workdir
    model = trained.load_model(config, files.checkpoints())
    labels = labels_drawn.choose(config, model)
    shape = (len(labels), *datasets.image_shape(config))
    npz.check_size(shape)
    starts = starting_images.choose(config, model, labels)
    partial = workdir / "synthetic.partial"
    file = drawn_file.begin(partial, resumes=files.unfinished() is not None)
    drawn_file.draw(config, model, labels, starts, file, keep=lambda: files.keep({}))
    if not model.knows_labels:
        print("[export] the model is unconditional, so the set has no labels", flush=True)
    devices.barrier("export")
    images, trained_on = np.memmap(file, np.uint8, "r", shape=shape), model.facts["extra"]
    meta = {
        "reads": files.notes._asdict(),
        "seed": config.seed,
        "checkpoint": model.facts["step"],
        "solver": config.sampling.solver,
        "num_steps": config.sampling.num_steps,
        "guidance_scale": config.sampling.guidance_scale,
        "autoguidance_scale": config.sampling.autoguidance_scale,
        "start": config.export.start,
        "real": source.without_folders(trained_on.get("reads", {}).get("data.source", "")),
        "classes": model.class_names,
        "data_sha256": trained_on.get("data_sha256"),
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
