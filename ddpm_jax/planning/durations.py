"""Seconds of each stage of a run, by what they are spent on, timed on the programs that it will compile."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.assembly import classifiers, datasets, training
from ddpm_jax.planning import requirements, timings
from ddpm_jax.training import retention

SECONDS_OF_STEPS = 10.0
SECONDS_OF_DRAWING = 10.0
SECONDS_OF_CLASSIFIER = 3.0


class Part(NamedTuple):
    """Part of a stage: how often it is done, and how many seconds each time takes."""

    number: int
    each: float


class Programs(NamedTuple):
    """What a run compiles: a training step, a grid of the training, a batch of the export."""

    step: requirements.Compiled
    grid: requirements.Compiled
    batch: requirements.Compiled


def compile_all(config: ConfigDict, parts: training.Parts, sizes: requirements.Sizes) -> Programs:
    drawn = {
        num: requirements.compile_sampling(config, parts.programs, num)
        for num in {sizes.grid_at_once, sizes.export_at_once}
    }
    step = requirements.compile_training(parts.placement, parts.programs)
    return Programs(step, drawn[sizes.grid_at_once], drawn[sizes.export_at_once])


def timed(
    config: ConfigDict,
    workdir: pathlib.Path,
    parts: training.Parts,
    sizes: requirements.Sizes,
    programs: Programs,
) -> dict[str, Any]:
    """Speeds, and the seconds of each stage by what they are spent on."""
    jitted = parts.placement.parallel == "jit"
    compiled = training.with_program(parts.programs, programs.step.program)
    step = compiled if jitted else parts.train_step
    each, state = timings.step_seconds(config, parts, step, parts.state, SECONDS_OF_STEPS)
    gflops = programs.step.takes.gflop / each
    draw = {
        num: timings.drawing_seconds(config, parts, program, num, gflops, SECONDS_OF_DRAWING)
        for num, program in (
            (sizes.grid_at_once, programs.grid), (sizes.export_at_once, programs.batch),
        )
    }  # fmt: skip
    grid = draw[sizes.grid_at_once].each * -(-sizes.grid // sizes.grid_at_once)
    batch = draw[sizes.export_at_once]
    first = max(retention.sound(rundir.checkpoints(workdir)), default=0)
    counts = requirements.actions(config, first)
    save, load = timings.checkpoint_seconds(workdir, state)
    takes = {
        "steps": each,
        "evaluations": timings.evaluation_seconds(config, parts, state),
        "saves": save,
        "grids": grid,
    }
    batches = -(-sizes.export // sizes.export_at_once)
    classified, num_features = by_classifiers(config, parts, sizes)
    stages = {
        "train": {name: Part(counts[name], takes[name]) for name in takes},
        # After the grid, one image of each class is drawn again, with all its intermediate states.
        "sample": {
            "checkpoint read": Part(1, load),
            "warm-up": Part(1, draw[sizes.grid_at_once].warm_up),
            "images": Part(sizes.grid + parts.programs.num_classes, grid / sizes.grid),
        },
        "export": {
            "checkpoint read": Part(1, load),
            "warm-up": Part(1, batch.warm_up),
            "batches": Part(batches, batch.each),
        },
        **classified,
    }
    return {
        "first_step": first,
        "images_per_second": config.training.batch_size / each,
        "drawn_per_second": sizes.export_at_once / batch.each,
        "num_features": num_features,
        "stages": dict(in_turn(stages)),
    }


def in_turn(stages: Mapping[str, Mapping[str, Part]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage's seconds, when it ends, and what it consists of."""
    end = 0.0
    for stage, parts in stages.items():
        seconds = sum(part.number * part.each for part in parts.values())
        end += seconds
        of = {name: part._asdict() for name, part in parts.items()}
        yield stage, {"seconds": seconds, "ends_after": end, "of": of}


def by_classifiers(
    config: ConfigDict, parts: training.Parts, sizes: requirements.Sizes
) -> tuple[dict[str, dict[str, Part]], int]:
    """The stages that train classifiers or use their features, and the number of features compared."""
    section, splits = config.classifier, parts.splits
    one = timings.classifier_seconds(config, splits.train, SECONDS_OF_CLASSIFIER)
    fit = one.begin + section.num_steps * one.step
    fits = len(section.arms) * (1 if section.vmap_seeds else section.num_seeds)
    fits += classifiers.num_ensemble(section)
    image, num_features = one.image, one.num_features
    named = config.evaluation.inception_weights or config.evaluation.features
    if named:
        shape = datasets.image_shape(config)
        image, num_features = timings.feature_seconds(config, splits.train, shape)
    evaluate = {"features": Part(requirements.num_compared(config, splits, sizes), image)}
    if not named:
        evaluate["classifiers"] = Part(1, fit)
    return {"evaluate": evaluate, "classify": {"classifiers": Part(fits, fit)}}, num_features
