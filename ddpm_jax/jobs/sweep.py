"""--mode=sweep: the same noise through every guidance scale and number of steps."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, rundir
from ddpm_jax.assembly import choice, denoising, trained
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    rundir.claim(workdir, config.to_dict())
    inputs = {
        "step": trained.newest_step(rundir.checkpoints(workdir)),
        "fields": rundir.model_inputs(
            config.to_dict(), (*rundir.MODEL_SECTIONS, "sampling", "guide", "sweep")
        ),
    }
    outputs = [rundir.figures(workdir) / "sweep.png"]
    return rundir.stage(workdir, "sweep", inputs, lambda: sweep(config, workdir), outputs)


def sweep(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    model = trained.load_model(config, rundir.checkpoints(workdir))
    pairs = [
        (scale, num_steps)
        for scale in config.sweep.guidance_scales
        for num_steps in config.sweep.num_steps
    ]
    rows = [one_of_each_class(config, model, scale, num_steps) for scale, num_steps in pairs]
    if devices.is_writer():
        picture = pictures.strip(
            np.stack(rows),
            model.class_names,
            row_labels=[f"guidance {scale:g}, {num_steps} steps" for scale, num_steps in pairs],
            title=f"{config.sampling.solver}, the same noise in each column",
        )
        pictures.save(rundir.figures(workdir) / "sweep.png", picture)
    return {
        "checkpoint": model.facts["step"],
        "solver": config.sampling.solver,
        "guidance_scales": config.sweep.guidance_scales,
        "num_steps": config.sweep.num_steps,
        "seed": config.seed,
    }


def one_of_each_class(
    config: ConfigDict, model: trained.Model, scale: float, num_steps: int
) -> Pixels:
    config = config.copy_and_resolve_references()
    config.sampling.guidance_scale = scale
    config.sampling.num_steps = num_steps
    labels = jnp.arange(len(model.class_names))
    keys = jax.random.split(choice.key_for(config.seed, "sweep"), len(labels))
    sample = jax.jit(denoising.build_sampler(config, model.net, model.table))
    return np.asarray(pixels.to_uint8(sample(model.params, labels, keys)))
