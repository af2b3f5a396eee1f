"""--mode=denoise: real images, noised part of the way and denoised again (SDEdit)."""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, stages
from ddpm_jax.assembly import datasets
from ddpm_jax.data import source
from ddpm_jax.evaluation import similarity
from ddpm_jax.models import edited, trained
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures


@stages.stage("denoise", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    original = source.decode(real)
    columns, names, likeness = [original], ["real"], {}
    for share in config.editing.starts:
        program = edited.build_denoise(config, model, share)
        t, noised, denoised = edited.denoise(config, model, original, real.labels, program)
        columns += [noised, denoised]
        names += [f"noised to t = {t:.0f}", "denoised"]
        likeness[f"{t:.0f}"] = {
            "psnr": similarity.psnr(denoised, original).mean(),
            "ssim": similarity.ssim(denoised, original).mean(),
        }
    if devices.is_writer():
        picture = pictures.strip(
            np.stack(columns, axis=1),
            names,
            row_labels=[real.class_names[label] for label in real.labels],
            title="Real images, noised part of the way and denoised again",
        )
        pictures.save(files.figure("denoise.png"), picture)
    return {
        "checkpoint": model.facts["step"],
        "from": real.name,
        "n": len(original),
        "likeness_by_t": likeness,
        "seed": config.seed,
    }
