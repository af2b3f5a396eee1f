"""--mode=sample: pictures from a trained model: samples by class, the reverse and the forward process."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, rundir, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import division, source
from ddpm_jax.diffusion import process, schedules
from ddpm_jax.models import reverse, trained
from ddpm_jax.reporting import movies, samples
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


@stages.stage("sample", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    labels = np.repeat(np.arange(len(model.class_names)), config.sampling.images_per_class)
    draw = trained.build_draw(config, model.net, model.table, "sample")
    images = np.concatenate(list(draw(model.weights, labels)))
    levels = denoising.build_steps(config.sampling, model.table)
    x, x0_hat = reverse.walk(config, model, levels, np.arange(len(model.class_names)))
    if devices.is_writer():
        names, t = model.class_names if model.knows_labels else None, np.asarray(levels.t)
        save_grid(files.figure("classes.png"), config, images, names)
        samples.draw_reverse(files.figure("reverse.png"), t, x, x0_hat, names)
        samples.animate_reverse(files.figure("reverse.gif"), t, x, names)
        save_forward(files.figure("forward.png"), config, model.table)
        grids = rundir.figures(files.workdir) / "samples"
        if frames := movies.frames(sorted(grids.glob("*.png"))):
            pictures.gif(files.figure("progress.gif"), frames)
    return {
        "checkpoint": model.facts["step"],
        "imported_from": model.facts["extra"].get("imported_from"),
        "num_images": len(images),
        "sampling": {
            name: config.sampling[name] for name in ("num_steps", "solver", "guidance_scale")
        },
        "seed": config.seed,
    }


def save_grid(
    path: pathlib.Path, config: ConfigDict, images: Pixels, names: Sequence[str] | None
) -> None:
    """One row per class, with the class name if the model knows the classes."""
    title = f"{config.sampling.num_steps} steps of {config.sampling.solver}"
    columns = config.sampling.images_per_class
    pictures.save(path, pictures.grid(images, columns, row_labels=names, title=title))


def save_forward(path: pathlib.Path, config: ConfigDict, table: schedules.Level) -> None:
    """Real images on their way into noise: validation images if there are any.

    They have the data set's class names: an imported model has other ones.
    """
    split = datasets.to_show(datasets.build_splits(config.data, config.seed))
    shown = division.in_turn(split, 3, config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(shown)))
    eps = jax.random.normal(choice.key_for(config.seed, "forward"), x0.shape)
    rows = np.linspace(0, table.num_steps, samples.FRAMES_OF_STRIP).astype(int).tolist()
    frames = [pixels.to_uint8(process.noise(x0, table[row], eps)) for row in rows]
    names = [shown.class_names[label] for label in shown.labels]
    samples.draw_forward(
        path, np.stack([np.asarray(frame) for frame in frames], axis=1), rows, names
    )
