"""What a run will take of its machine, before it begins: memory, work and disk."""

import pathlib
import shutil
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddpm_jax.assembly import choice, datasets, denoising, guides, training
from ddpm_jax.data import source
from ddpm_jax.measuring import distances
from ddpm_jax.models import trained
from ddpm_jax.training import devices, footprint
from ddpm_jax.training import state as states

NAMES_AND_META = 64 << 10
"""Bytes for the names of the classes and for where the images come from."""


class Compiled(NamedTuple):
    program: jax.stages.Compiled
    takes: footprint.Footprint
    seconds: float
    """Seconds that tracing and compiling took, here and now."""


class Sizes(NamedTuple):
    """Images to draw: for a grid in all and at once, for the export in all and at once."""

    grid: int
    grid_at_once: int
    export: int
    export_at_once: int


def compile_training(placement: devices.Placement, programs: training.Programs) -> Compiled:
    started = time.perf_counter()
    program = training.compile_train_step(placement, programs, jax.eval_shape(programs.begin))
    return Compiled(program, footprint.of(program), time.perf_counter() - started)


def compile_sampling(config: ConfigDict, programs: training.Programs, num: int) -> Compiled:
    """The program that draws `num` images at once."""
    started = time.perf_counter()
    placement = devices.place()
    row = jax.ShapeDtypeStruct((num,), jnp.int32, sharding=placement.by_rows)
    weights = jax.eval_shape(lambda: sampled_weights(config, programs))
    given = (weights, jax.eval_shape(lambda: jax.random.key(0)))
    draw = trained.build_program(config, programs.net, programs.table)
    program = draw.lower(  # type: ignore[attr-defined]
        devices.abstract(placement, given), {"index": row, "label": row}
    ).compile()
    return Compiled(program, footprint.of(program), time.perf_counter() - started)


def sampled_weights(config: ConfigDict, programs: training.Programs) -> denoising.Weights:
    """The weights that images are drawn with, as they are before the training."""
    params = programs.begin().ema_params
    bad = params if denoising.autoguided(config) else None
    if not config.sampling.classifier_scale:
        return denoising.Weights(params, bad=bad)
    net = guides.build_net(config.guide, programs.num_classes)
    key, shape = choice.key_for(config.seed, "guide"), datasets.image_shape(config)
    return denoising.Weights(params, guides.init_net(net, config.guide, key, shape), bad)


def sizes(config: ConfigDict, splits: source.Splits) -> Sizes:
    grid = len(splits.train.class_names) * config.sampling.images_per_class
    export = sum(config.export.class_counts) or config.export.num_images or len(splits.train.labels)
    at_once = (trained.rows_at_once(config, num) for num in (grid, export))
    return Sizes(grid, next(at_once), export, next(at_once))


def training_memory(
    state: states.TrainState, step: footprint.Footprint, grid: footprint.Footprint
) -> dict[str, int]:
    """Bytes on each device. A grid is drawn from the average while the rest of the state stays in memory."""
    kept = {
        "parameters": footprint.num_bytes(state.params),
        "average": footprint.num_bytes((state.ema_params, state.averages)),
        "optimizer": footprint.num_bytes(state.opt_state),
    }
    beside = footprint.num_bytes(state) - kept["average"]
    return {
        "training": step.total,
        **kept,
        "batch, gradients, activations": step.total - sum(kept.values()),
        "grid": beside + grid.total,
    }


def actions(config: ConfigDict, first: int) -> dict[str, int]:
    """How often the loop does each action, from step `first` to the last one: see `loop.run`."""
    last, training = config.training.num_steps, config.training

    def times(every: int) -> int:
        return max(0, last // every - first // every)

    at_the_end = int(first < last)
    return {
        "steps": max(0, last - first),
        # The last step is always evaluated and saved.
        "evaluations": times(training.eval_every) + at_the_end * (last % training.eval_every > 0),
        "saves": times(training.save_every) + at_the_end * (last % training.save_every > 0),
        "grids": times(training.sample_every),
    }


def num_compared(config: ConfigDict, splits: source.Splits, sizes: Sizes) -> int:
    """Number of images whose features are extracted."""
    reference = config.evaluation.reference
    there = {name: len(split.labels) for name, split in splits._asdict().items()}
    wanted = config.evaluation.num_images or distances.num_synthetic(reference, there)
    real = sum(there[split] for split in distances.extracted(reference))
    return real + min(wanted, sizes.export)


def checkpoints_kept(config: ConfigDict) -> int:
    """Most checkpoints at once: the newest, the best, one that is being written, those of `keep_every`."""
    every, last = config.training.keep_every, config.training.num_steps
    ladder = last // every if every else 0
    return min(config.training.keep + 2 + ladder, actions(config, 0)["saves"])


def disk(
    config: ConfigDict,
    workdir: pathlib.Path,
    parts: training.Parts,
    sizes: Sizes,
    num_features: int | None,
) -> dict[str, int]:
    """Most bytes on disk."""
    kept = checkpoints_kept(config)
    side, _, channels = datasets.image_shape(config)
    fields = {
        "checkpoint": footprint.num_bytes(parts.state),
        "checkpoints": footprint.num_bytes(parts.state) * kept,
        # "export": a plain file of the images lies beside it until it is whole.
        "synthetic.npz": sizes.export * (side * side * channels + 4) + NAMES_AND_META,
        "export": sizes.export * (2 * side * side * channels + 4) + NAMES_AND_META,
    }
    if num_features is not None:
        fields["features"] = 4 * num_features * num_compared(config, parts.splits, sizes)
    there = next(folder for folder in (workdir, *workdir.absolute().parents) if folder.exists())
    return fields | {"free": shutil.disk_usage(there).free}
