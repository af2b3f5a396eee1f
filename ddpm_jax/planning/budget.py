"""`budget.minutes`: decides what fits into so many minutes on this machine, and keeps the decision.

The decision is in `results/budget.json`. A run that resumes takes it from there: measured again, it would
be another one, and the run would have another config.
"""

import math
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddpm_jax import rundir, units
from ddpm_jax.assembly import classifiers, datasets, denoising, options, training
from ddpm_jax.models import in_training
from ddpm_jax.planning import ladder, requirements, shares, timings
from ddpm_jax.training import devices, retention

MOST_SHARE = 0.01
"""Each of the timings takes at most so much of the budget, and at most `MOST_SECONDS`."""
MOST_SECONDS = 6.0
TWO_CALLS = ("heun", "edm_stochastic")
"""Solvers with two network calls in a step."""


def apply(
    config: ConfigDict, workdir: pathlib.Path, named: Iterable[str], *, measures: bool
) -> ConfigDict:
    """The config with the fields that the budget decides: as kept, else measured now, printed and kept.

    named: dotted names of the fields that the user has set; they are left alone. Without `measures`, a
    config that has no kept decision is returned as it is. Raises ValueError if a model was trained here
    with another budget or none.
    """
    began, named = time.monotonic(), set(named)
    if not config.budget.minutes:
        return config
    kept = read(config, workdir, named)
    if kept is None:
        if not measures:
            return config
        if devices.num_processes() > 1:
            raise ValueError(
                f"budget.minutes is measured in one process, not in {devices.num_processes()}; run "
                "--mode=plan in one first"
            )
        kept = measure(config, workdir, named, began)
        here = devices.place()
        lines = describe(kept) + hints(here.platform, here.num_devices, os.cpu_count() or 1)
        print("\n".join(f"[budget] {line}" for line in lines), flush=True)
        kept |= {"of": digest(config, named), "command": rundir.command()}
        rundir.write_json(rundir.result_path(workdir, "budget"), kept)
    return with_fields(config, kept["fields"], named)


def read(config: ConfigDict, workdir: pathlib.Path, named: Iterable[str]) -> dict[str, Any] | None:
    """The kept decision; None if there is none or, as long as nothing is trained, if it is of another
    config. Raises ValueError if a model was trained here with another budget or none."""
    path, minutes = rundir.result_path(workdir, "budget"), config.budget.minutes
    kept = rundir.read_json(path) if path.exists() else None
    if retention.sound(rundir.checkpoints(workdir)):
        was = kept["minutes"] if kept else 0.0
        if was != minutes:
            raise ValueError(
                f"{workdir} holds a run with another config; give another --workdir, or the same "
                f"config. Fields that differ:\n  budget.minutes: was {was!r}, is {minutes!r}"
            )
        return kept
    return kept if kept and kept["of"] == digest(config, named) else None


def digest(config: ConfigDict, named: Iterable[str]) -> str:
    """Of what a decision is made from, besides the machine."""
    return rundir.digest([config.to_dict(), sorted(named)])


def with_fields(config: ConfigDict, fields: Mapping[str, Any], named: Iterable[str]) -> ConfigDict:
    """A copy with `fields`, except those in `named`."""
    changed = config.copy_and_resolve_references()
    left = set(fields) - set(named)
    changed.update_from_flattened_dict(
        {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items() if n in left}
    )
    return changed


def measure(
    config: ConfigDict, workdir: pathlib.Path, named: set[str], began: float
) -> dict[str, Any]:
    """The decision: its fields, the seconds of each part, and what they were made from."""
    total = 60 * config.budget.minutes
    if not (total > 0 and math.isfinite(total)):
        raise ValueError(f"budget.minutes is {config.budget.minutes}; wanted a positive number")
    side, _, channels = datasets.image_shape(config)
    seconds = min(MOST_SECONDS, MOST_SHARE * total)
    speed, fields = gflop_per_second(seconds / 3), {}
    if config.net.name == "unet":
        # Before anything else is measured: about half of a budget goes into training.
        fields = network(config, ladder.choose(side, channels, total / 2, speed), named)
    chosen = with_fields(config, fields, named)
    measured = time_parts(chosen, workdir, seconds)
    spent = shares.START_SECONDS + time.monotonic() - began
    asked = {name: options.value_of(config, name) for name in named}
    counted = {"export.num_images": sum(config.export.class_counts)}
    counted = counted if config.export.class_counts else {}  # they decide, in place of the number
    more, split = shares.decide(total, spent, measured, facts(chosen), asked | counted)
    fields = {name: value for name, value in (fields | more).items() if name not in named}
    return {
        "minutes": config.budget.minutes,
        "fields": fields,
        "seconds": split,
        "promised_seconds": sum(split.values()),
        "made_from": {"gflop_per_second": speed, **measured._asdict()},
        "planning_seconds": time.monotonic() - began,
        "shown": {
            name: options.value_of(with_fields(chosen, fields, named), name) for name in SHOWN
        }
        | counted,
    }


def network(config: ConfigDict, rung: ladder.Rung, named: set[str]) -> dict[str, Any]:
    """The rung's fields; attention and groups are those that fit to it and to what is named."""
    fields = ladder.fields(rung)
    net = with_fields(config, fields, named).net
    rows = config.data.image_size // net.unet.patch_size // 2 ** (len(net.multipliers) - 1)
    return fields | {
        "net.unet.attention_resolutions": (rows,),
        "net.unet.num_groups": math.gcd(net.base_channels, 16),
    }


def time_parts(config: ConfigDict, workdir: pathlib.Path, seconds: float) -> shares.Measured:
    """Compiles the training step; times it and a classifier for about `seconds` each, a network call and a
    checkpoint."""
    parts = training.build_parts(config)
    programs = requirements.compile_training(parts.placement, parts.programs)
    jitted = parts.placement.parallel == "jit"
    compiled = training.with_program(parts.programs, programs.program)
    step = compiled if jitted else parts.train_step
    each, state = timings.step_seconds(config, parts, step, parts.state, seconds)
    call = each / config.training.batch_size / ladder.TRAINING_OVER_FORWARD
    if in_training.validation_images(config, parts):
        call = timings.call_seconds(config, parts, state.ema_params)
    save, _ = timings.checkpoint_seconds(workdir, state)
    classifier = timings.classifier_seconds(config, parts.splits.train, seconds)
    feature = classifier.image
    if config.evaluation.inception_weights or config.evaluation.features:
        shape = datasets.image_shape(config)
        feature, _ = timings.feature_seconds(config, parts.splits.train, shape)
    train, validation, test = (len(split.labels) for split in parts.splits)
    return shares.Measured(
        each,
        call,
        programs.seconds,
        save,
        classifier.begin,
        classifier.step,
        feature,
        train,
        validation,
        test,
        len(parts.splits.train.class_names),
    )


def facts(config: ConfigDict) -> shares.Facts:
    classes = datasets.build_splits(config.data, config.seed).train.class_names
    sampling, section = config.sampling, config.classifier
    guided = (
        sampling.guidance_scale != 1.0
        or bool(sampling.classifier_scale)
        or denoising.autoguided(config)
    )
    return shares.Facts(
        num_fits=len(section.arms),
        own_features=not (config.evaluation.inception_weights or config.evaluation.features),
        grid=len(classes) * sampling.images_per_class,
        calls=(1 + guided) * (2 if sampling.solver in TWO_CALLS else 1),
        most_solver_steps=config.schedule.num_steps,
        warmups=(config.optim.warmup_steps, section.warmup_steps),
        together=section.vmap_seeds,
        num_ensemble=classifiers.num_ensemble(section),
    )


def gflop_per_second(
    seconds: float, clock: Callable[[], float] = time.perf_counter, fewest: int = 5
) -> float:
    """Of a 3x3 convolution of 64 to 64 channels on 16 images of 32x32: the best of several calls."""
    shape, kernel = (16, 32, 32, 64), (3, 3, 64, 64)

    @jax.jit
    def convolve(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x, w = jnp.ones(shape), jnp.ones(kernel)
    jax.block_until_ready(convolve(x, w))  # compiles
    taken: list[float] = []
    began = clock()
    while len(taken) < fewest or clock() - began < seconds:
        start = clock()
        jax.block_until_ready(convolve(x, w))
        taken.append(clock() - start)
    return 2e-9 * math.prod(shape[:3]) * math.prod(kernel) / min(taken)


def hints(platform: str, num_devices: int, num_cores: int) -> list[str]:
    """What would make this machine faster, in a line, if anything is known."""
    if platform != "cpu" or num_devices > 1 or num_cores == 1:
        return []
    return [
        f"JAX has one device on {num_cores} processor cores: with JAX_NUM_CPU_DEVICES=2 in the environment "
        "a small network trains faster"
    ]


SHOWN = (
    "net.base_channels",
    "net.unet.patch_size",
    "net.unet.num_res_blocks",
    "training.num_steps",
    "training.batch_size",
    "export.num_images",
    "sampling.num_steps",
    "classifier.num_seeds",
    "classifier.num_steps",
)
"""Fields of the decided config that the printed lines name."""


def describe(kept: Mapping[str, Any]) -> list[str]:
    """A decision in five lines, or six if it does not fit."""
    width, patch, blocks, steps, batch, images, calls, seeds, fits = (
        kept["shown"][name] for name in SHOWN
    )
    made, promised = kept["made_from"], kept["promised_seconds"]
    lines = [
        f"{kept['minutes']:g} minutes; this machine does {made['gflop_per_second']:.0f} GFLOP/s, "
        f"{1 / made['step']:.3g} training steps/s",
        f"network: {width} channels, patches of {patch}x{patch} pixels, residual blocks a level: {blocks}; "
        f"{steps:,} steps of {batch} images",
        f"export: {images or made['num_train']:,} images in {calls} solver steps; classifiers: {seeds} of "
        f"{fits:,} steps an arm",
        ", ".join(f"{name} {units.duration(s)}" for name, s in kept["seconds"].items()),
        f"in all {units.duration(promised)}; kept in results/budget.json",
    ]
    if promised > 66 * kept["minutes"]:
        lines.append("that is more than the budget: nothing smaller is known, or fields are set")
    return lines
