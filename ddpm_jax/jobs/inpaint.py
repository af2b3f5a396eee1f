"""--mode=inpaint: a hole in real images, filled in (RePaint)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import editing, solvers
from ddpm_jax.models import trained
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures

NUM_FILLINGS = 3


@stages.stage("inpaint", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    original = source.decode(real)
    mask = build_mask(config.editing.hole, config.data.image_size)
    fillings = [fill(config, model, original, real.labels, mask, i) for i in range(NUM_FILLINGS)]
    if devices.is_writer():
        gray = np.uint8(128)
        columns = {
            "real": original,
            "known": np.where(mask > 0, original, gray),
            **{f"filled in, {i + 1}": made for i, made in enumerate(fillings)},
        }
        picture = pictures.side_by_side(
            columns,
            row_labels=[real.class_names[label] for label in real.labels],
            title="The gray part is painted again",
        )
        pictures.save(files.figure("inpaint.png"), picture)
    changed = [np.abs((made.astype(int) - original) * (mask > 0)).max() for made in fillings]
    return {
        "checkpoint": model.facts["step"],
        "from": real.name,
        "n": len(original),
        "largest_change_of_a_known_pixel": max(changed),
        "seed": config.seed,
    }


def build_mask(hole: str, size: int) -> Float[np.ndarray, "size size 1"]:
    """1 where the image is known, 0 in the hole."""
    quarter, half = size // 4, size // 2
    holes = {
        "center": np.s_[quarter : size - quarter, quarter : size - quarter],
        "right": np.s_[:, half:],
        "bottom": np.s_[half:, :],
    }
    mask = np.ones((size, size, 1), np.float32)
    mask[choice.choose("editing.hole", hole, holes)] = 0.0
    return mask


def fill(
    config: ConfigDict,
    model: trained.Model,
    original: Pixels,
    label: np.ndarray,
    mask: Float[np.ndarray, "size size 1"],
    number: int,
) -> Pixels:
    """One filling of each image; each `number` has its own noise."""
    levels = denoising.build_steps(config.sampling, model.table)
    plain = denoising.build_solver(config.sampling, model.table)
    stream = jax.random.fold_in(choice.key_for(config.seed, "inpaint"), number)
    keys = jax.random.split(stream, len(label))

    @jax.jit
    def walk(params, image, label):
        known = pixels.to_float(image)
        everywhere = jnp.broadcast_to(mask, (*known.shape[:3], 1))
        denoise = denoising.build_denoiser(config, model.net, params, label)
        solver = editing.inpaint(plain, known, everywhere, config.editing.num_resamples)
        x = solvers.starting_noise(levels, keys, known.shape[1:])
        return pixels.to_uint8(solvers.sample(solver, denoise, levels, x, keys))

    return np.asarray(walk(model.weights, jnp.asarray(original), jnp.asarray(label)))
