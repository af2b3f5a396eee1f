"""--mode=interpolate: from one real image to another, through their noised versions."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, stages
from ddpm_jax.assembly import datasets
from ddpm_jax.data import source
from ddpm_jax.models import edited, trained
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures


@stages.stage("interpolate", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    num_pairs = len(real.labels) // 2
    if num_pairs == 0:
        raise ValueError(f"editing.num_images is {config.editing.num_images}; a pair needs 2")
    # The classes take turns, so neighbors are of different classes.
    original = source.decode(real)[: 2 * num_pairs]
    first, second = original[0::2], original[1::2]
    labels = np.stack([real.labels[0 : 2 * num_pairs : 2], real.labels[1 : 2 * num_pairs : 2]])
    weights = np.linspace(0.0, 1.0, config.editing.num_mixes)
    program = edited.build_mix(config, model, config.editing.mix_at, len(weights))
    mixes = edited.mix(config, model, first, second, labels, weights, program)
    if devices.is_writer():
        rows = np.concatenate([first[:, None], mixes, second[:, None]], axis=1)
        picture = pictures.strip(
            rows,
            ["real", *(f"{weight:.2f}" for weight in weights), "real"],
            row_labels=[
                f"{real.class_names[one]} to {real.class_names[other]}" for one, other in labels.T
            ],
            title=f"Mixed at t = {program.t:.0f}, then denoised",
        )
        pictures.save(files.figure("interpolate.png"), picture)
    return {
        "checkpoint": model.facts["step"],
        "from": real.name,
        "pairs": num_pairs,
        "t": program.t,
        "seed": config.seed,
    }
