"""--mode=inpaint: a hole in real images, filled in (RePaint)."""

from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from ddpm_jax import run_files, stages
from ddpm_jax.assembly import choice, datasets
from ddpm_jax.data import source
from ddpm_jax.models import edited, trained
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures

NUM_FILLINGS = 3


@stages.stage("inpaint", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    original = source.decode(real)
    mask = build_mask(config.editing.hole, config.data.image_size)
    program = edited.build_fill(config, model)
    fillings = [
        edited.fill(config, model, original, real.labels, mask[None], program, number)
        for number in range(NUM_FILLINGS)
    ]
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
