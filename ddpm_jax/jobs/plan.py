"""--mode=plan: what a run will take, before it is begun: memory, time to the end of each stage, disk.

From the programs that the run will compile, and a few of their steps. Ends with status 2 where the run
will not fit, and says what would.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from clu import parameter_overview
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import datasets, training
from ddpm_jax.planning import requirements, timings
from ddpm_jax.planning.requirements import duration, in_words
from ddpm_jax.training import devices, footprint, retention

SECONDS_OF_STEPS = 10.0
SECONDS_OF_DRAWING = 10.0
SECONDS_OF_CLASSIFIER = 3.0
NOT_PREDICTED = (
    "compiling, which the cache of compiled programs keeps; "
    "sample: the animations; evaluate: distances, copies, bits/dim; classify: testing; compare, report"
)


class Part(NamedTuple):
    """Of a stage: how often, and how many seconds each takes."""

    number: int
    each: float


class Programs(NamedTuple):
    """What a run compiles: a training step, a grid of the training, a batch of the export."""

    step: requirements.Compiled
    grid: requirements.Compiled
    batch: requirements.Compiled


def run(
    config: ConfigDict, workdir: pathlib.Path, memory_limit: int | None = None
) -> dict[str, Any]:
    """`memory_limit`: bytes of each device, in place of what there are.

    Raises ValueError where the run does not fit, after everything else is said and written.
    """
    if devices.num_processes() > 1:
        raise ValueError(
            f"--mode=plan times programs of one process, not of {devices.num_processes()} together; run "
            "it in one, with that process's share of training.batch_size and sampling.batch_size"
        )
    run_files.check_model(config, workdir)
    print(f"[plan] {workdir}", flush=True)
    fields = plan(config, workdir, memory_limit)
    print("\n".join(describe(config, fields)), flush=True)
    fields |= {"seed": config.seed, "command": rundir.command(), "versions": rundir.versions()}
    rundir.write_json(rundir.result_path(workdir, "plan"), fields)
    if fields["shortage"]:
        raise ValueError(fields["shortage"])
    return fields


def plan(config: ConfigDict, workdir: pathlib.Path, memory_limit: int | None) -> dict[str, Any]:
    """The fields of `results/plan.json`. Nothing is timed where something does not fit."""
    parts = training.build_parts(config)
    training.warn(config, parts.programs.table)
    sizes = requirements.sizes(config, parts.splits)
    programs = compile_all(config, parts, sizes)
    memory = requirements.training_memory(parts.state, programs.step.takes, programs.grid.takes)
    memory["export"] = programs.batch.takes.total
    limit = memory_limit or footprint.capacity(parts.placement, footprint.num_bytes(parts.state))
    num_devices = parts.placement.num_devices
    fields: dict[str, Any] = {
        "num_parameters": int(parameter_overview.count_parameters(parts.state.params)),
        "num_devices": num_devices,
        "platform": parts.placement.platform,
        "gflop_training_image": requirements.gflop_an_image(
            config, parts.placement, programs.step.takes
        ),
        "gflop_solver_step_image": programs.batch.takes.gflop * num_devices / sizes.export_at_once,
        "memory": memory | {"limit": limit},
        "shortage": shortage(config, parts, sizes, memory, limit),
        "compile_seconds": sum({id(one): one.seconds for one in programs}.values()),
    }
    if fields["shortage"] is None:
        fields |= timed(config, workdir, parts, sizes, programs)
    return fields | {
        "disk": requirements.disk(config, workdir, parts, sizes, fields.get("num_features"))
    }


def compile_all(config: ConfigDict, parts: training.Parts, sizes: requirements.Sizes) -> Programs:
    drawn = {
        num: requirements.compile_sampling(config, parts.programs, num)
        for num in {sizes.grid_at_once, sizes.export_at_once}
    }
    step = requirements.compile_training(parts.placement, parts.programs)
    return Programs(step, drawn[sizes.grid_at_once], drawn[sizes.export_at_once])


def shortage(
    config: ConfigDict,
    parts: training.Parts,
    sizes: requirements.Sizes,
    memory: Mapping[str, int],
    limit: int,
) -> str | None:
    """None where all fits."""
    programs = parts.programs
    if memory["training"] > limit:
        return requirements.training_shortage(config, parts.placement, programs, limit)
    if memory["grid"] > limit:
        beside = footprint.num_bytes(parts.state) - memory["average"]
        num = sizes.grid_at_once
        what = f"sampling.batch_size {num} beside the training"
        return requirements.sampling_shortage(config, programs, what, num, beside, limit)
    if memory["export"] > limit:
        num = sizes.export_at_once
        what = f"sampling.batch_size {num}"
        return requirements.sampling_shortage(config, programs, what, num, 0, limit)
    return None


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
        # Then one image of each class again, with all that it was on its way.
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
    """The stages that train classifiers or look with them, and how many features they compare."""
    section, splits = config.classifier, parts.splits
    one = timings.classifier_seconds(config, splits.train, SECONDS_OF_CLASSIFIER)
    fit = one.begin + section.num_steps * one.step
    fits = len(section.arms) * (1 if section.vmap_seeds else section.num_seeds)
    image, num_features = one.image, one.num_features
    named = config.evaluation.inception_weights or config.evaluation.features
    if named:
        shape = datasets.image_shape(config)
        image, num_features = timings.feature_seconds(config, splits.train, shape)
    evaluate = {"features": Part(requirements.num_compared(config, splits, sizes), image)}
    if not named:
        evaluate["classifiers"] = Part(1, fit)
    return {"evaluate": evaluate, "classify": {"classifiers": Part(fits, fit)}}, num_features


def describe(config: ConfigDict, fields: Mapping[str, Any]) -> Iterator[str]:
    """Lines for the terminal."""
    memory, kept = fields["memory"], fields["disk"]
    yield (
        f"{fields['num_parameters']:,} parameters; GFLOP an image: {fields['gflop_training_image']:.3g} of "
        f"a training step, {fields['gflop_solver_step_image']:.3g} of a step of the sampler"
    )
    yield (
        f"memory of each of {fields['num_devices']} {fields['platform']} device(s), compiled: training "
        f"{in_words(memory['training'])}, a grid of samples meanwhile {in_words(memory['grid'])}, export "
        f"{in_words(memory['export'])}; there is {in_words(memory['limit'])}"
    )
    parts = ("parameters", "average", "optimizer", "batch, gradients, activations")
    yield "  of training: " + ", ".join(f"{part} {in_words(memory[part])}" for part in parts)
    if fields["shortage"] is None:
        yield (
            f"{fields['images_per_second']:,.4g} images/s trained, {fields['drawn_per_second']:,.4g} "
            f"images/s drawn in {config.sampling.num_steps} steps of {config.sampling.solver}"
        )
        yield f"{'stage':10}{'takes':>12}{'ends after':>14}   of it"
        for stage, found in fields["stages"].items():
            of = (f"{part['number']:,} {name} {duration(part['number'] * part['each'])}"
                  for name, part in found["of"].items() if part["number"])  # fmt: skip
            times = f"{duration(found['seconds']):>12}{duration(found['ends_after']):>14}"
            yield f"{stage:10}{times}   {', '.join(of)}"
        yield f"not predicted: {NOT_PREDICTED}"
    compiling = duration(fields["compile_seconds"])
    yield f"compiling the training step and the sampler took {compiling} here"
    names = ("checkpoints", "synthetic.npz", "features")
    shares = ", ".join(f"{name} {in_words(kept[name])}" for name in names if name in kept)
    yield f"disk, at most: {shares}; there is {in_words(kept['free'])}"
