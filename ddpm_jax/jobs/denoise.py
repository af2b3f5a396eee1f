"""--mode=denoise: real images, noised part of the way and denoised again (SDEdit)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import editing, solvers
from ddpm_jax.evaluation import similarity
from ddpm_jax.models import trained
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


@stages.stage("denoise", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    original = source.decode(real)
    columns, names, likeness = [original], ["real"], {}
    for share in config.editing.starts:
        t, noised, denoised = from_share(config, model, share, original, real.labels)
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


def from_share(
    config: ConfigDict, model: trained.Model, share: float, original: Pixels, label: np.ndarray
) -> tuple[float, Pixels, Pixels]:
    """The t that is `share` of T, the images noised to it, and these images denoised again."""
    levels = denoising.build_steps_from(config.sampling, model.table, share)
    solver = denoising.build_solver(config.sampling, model.table)
    keys = jax.random.split(choice.key_for(config.seed, "denoise"), len(label))

    @jax.jit
    def walk(params, image, label):
        x0 = pixels.to_float(image)
        ask = denoising.build_denoiser(config, model.net, params, label)
        noised = editing.noised(levels, x0, keys)
        result = solvers.sample(solver, ask, levels, noised, keys)
        return pixels.to_uint8(noised), pixels.to_uint8(result)

    noised, result = walk(model.weights, jnp.asarray(original), jnp.asarray(label))
    return float(levels.t[0]), np.asarray(noised), np.asarray(result)
