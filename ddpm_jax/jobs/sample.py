"""--mode=sample: pictures from a trained model: samples by class, the reverse and the forward process."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, rundir, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import process, schedules, solvers
from ddpm_jax.models import trained
from ddpm_jax.reporting import movies
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures

Frames = UInt8[np.ndarray, "_ B H W C"]

FRAMES_OF_STRIP = 9


@stages.stage("sample", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    labels = np.repeat(np.arange(len(model.class_names)), config.sampling.images_per_class)
    draw = trained.build_draw(config, model.net, model.table, "sample")
    images = np.concatenate(list(draw(model.weights, labels)))
    levels = denoising.build_steps(config.sampling, model.table)
    x, x0_hat = reverse(config, model, levels)
    if devices.is_writer():
        save_grid(files.figure("classes.png"), config, model, images)
        save_reverse(files, model, levels, x, x0_hat)
        save_forward(files.figure("forward.png"), config, model)
        grids = rundir.figures(files.workdir) / "samples"
        if frames := movies.frames(sorted(grids.glob("*.png"))):
            pictures.gif(files.figure("progress.gif"), frames)
    return {
        "checkpoint": model.facts["step"],
        "num_images": len(images),
        "sampling": {
            name: config.sampling[name] for name in ("num_steps", "solver", "guidance_scale")
        },
        "seed": config.seed,
    }


def save_grid(path: pathlib.Path, config: ConfigDict, model: trained.Model, images: Pixels) -> None:
    """One row per class, with the class name if the model knows the classes."""
    title = f"{config.sampling.num_steps} steps of {config.sampling.solver}"
    columns = config.sampling.images_per_class
    names = model.class_names if model.knows_labels else None
    pictures.save(path, pictures.grid(images, columns, row_labels=names, title=title))


def reverse(
    config: ConfigDict, model: trained.Model, levels: schedules.Level
) -> tuple[Frames, Frames]:
    """One image of each class on its way from noise, and the estimates of x0 on that way: uint8."""
    labels = jnp.arange(len(model.class_names))
    keys = jax.random.split(choice.key_for(config.seed, "reverse"), len(labels))
    solver = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def walk(params):
        denoise = denoising.build_denoiser(config, model.net, params, labels)
        x = solvers.starting_noise(levels, keys, datasets.image_shape(config))
        states = solvers.trajectory(solver, denoise, levels, x, keys)
        return pixels.to_uint8(states.x), pixels.to_uint8(states.x0_hat)

    x, x0_hat = walk(model.weights)
    return np.asarray(x), np.asarray(x0_hat)


def save_reverse(
    files: run_files.Files,
    model: trained.Model,
    levels: schedules.Level,
    x: Frames,
    x0_hat: Frames,
) -> None:
    """A strip of the first and last class (x_t above, the estimate of x0 below), and a GIF of all classes."""
    frames = np.linspace(0, len(x0_hat) - 1, FRAMES_OF_STRIP).astype(int)
    t = np.asarray(levels.t)
    shown = sorted({0, len(model.class_names) - 1})
    rows = [array[frames, c] for c in shown for array in (x, x0_hat)]
    names = [f"{name}: " if model.knows_labels else "" for name in model.class_names]
    row_labels = [f"{names[c]}{what}" for c in shown for what in ("x_t", "x0 estimate")]
    strip = pictures.strip(
        np.stack(rows),
        [f"t = {t[frame]:.0f}" for frame in frames],
        row_labels=row_labels,
        title="From noise to an image",
    )
    pictures.save(files.figure("reverse.png"), strip)
    steps = np.unique(np.linspace(0, len(x) - 1, movies.MOST_FRAMES).astype(int))
    columns = -(-len(model.class_names) // 2) if len(model.class_names) > 4 else None
    captions = model.class_names if model.knows_labels else None
    pictures.gif(
        files.figure("reverse.gif"),
        [pictures.grid(x[i], columns, captions=captions, title=f"t = {t[i]:.0f}") for i in steps],
    )


def save_forward(path: pathlib.Path, config: ConfigDict, model: trained.Model) -> None:
    """Real images on their way into noise: validation images if there are any."""
    splits = datasets.build_splits(config.data, config.seed)
    split = splits.validation if len(splits.validation.labels) else splits.train
    shown = source.in_turn(split, 3, config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(shown)))
    eps = jax.random.normal(choice.key_for(config.seed, "forward"), x0.shape)
    rows = np.linspace(0, model.table.num_steps, FRAMES_OF_STRIP).astype(int)
    frames = [pixels.to_uint8(process.noise(x0, model.table[int(row)], eps)) for row in rows]
    names = [model.class_names[label] for label in shown.labels]
    strip = pictures.strip(
        np.stack([np.asarray(frame) for frame in frames], axis=1),
        [f"t = {row}" for row in rows],
        row_labels=names,
        title="From an image to noise",
    )
    pictures.save(path, strip)
