"""What a run will take of its machine, before it is begun: memory, work, disk, and what would fit."""

import math
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddpm_jax.assembly import choice, datasets, guides, training
from ddpm_jax.assembly.denoising import Weights
from ddpm_jax.data import source
from ddpm_jax.models import trained
from ddpm_jax.training import devices, footprint
from ddpm_jax.training import state as states

MOST_COMPILED = 5
"""Programs that are compiled in search of one that fits."""
NAMES_AND_META = 64 << 10
"""Bytes for the names of the classes and for where the images come from."""


class Compiled(NamedTuple):
    program: jax.stages.Compiled
    takes: footprint.Footprint
    seconds: float
    """That tracing and compiling took, here and now."""


class Sizes(NamedTuple):
    """Images that are drawn: for a grid, at once for that, for the export, at once for that."""

    grid: int
    grid_at_once: int
    export: int
    export_at_once: int


def compile_training(placement: devices.Placement, programs: training.Programs) -> Compiled:
    started = time.perf_counter()
    program = training.compile_train_step(placement, programs)
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


def sampled_weights(config: ConfigDict, programs: training.Programs) -> Weights:
    """What images are drawn with, as it is before the training."""
    params = programs.begin().ema_params
    if not config.sampling.classifier_scale:
        return Weights(params)
    net = guides.build_net(config.guide, programs.num_classes)
    key, shape = choice.key_for(config.seed, "guide"), datasets.image_shape(config)
    return Weights(params, guides.init_net(net, config.guide, key, shape))


def sizes(config: ConfigDict, splits: source.Splits) -> Sizes:
    grid = len(splits.train.class_names) * config.sampling.images_per_class
    export = sum(config.export.class_counts) or config.export.num_images or len(splits.train.labels)
    at_once = (trained.rows_at_once(config, num) for num in (grid, export))
    return Sizes(grid, next(at_once), export, next(at_once))


def gflop_an_image(
    config: ConfigDict, placement: devices.Placement, step: footprint.Footprint
) -> float:
    """Of a training step, with its share of what is done once for the batch."""
    counted = config.training.batch_size / placement.num_devices
    if training.unrolled(placement):
        counted *= config.training.steps_per_call
    else:
        # The body of a loop, over parts or steps, counts once.
        counted /= config.training.accumulate
    return step.gflop / counted


def training_memory(
    state: states.TrainState, step: footprint.Footprint, grid: footprint.Footprint
) -> dict[str, int]:
    """Bytes of each device. A grid is drawn from the average while the rest of the state lies beside."""
    kept = {
        "parameters": footprint.num_bytes(state.params),
        "average": footprint.num_bytes(state.ema_params),
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
    """How often the loop does what, from step `first` to the last one: see `loop.run`."""
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
    """Images that features are taken of."""
    test = len(splits.test.labels)
    synthetic = min(config.evaluation.num_images or test, sizes.export)
    return len(splits.train.labels) + test + synthetic


def disk(
    config: ConfigDict,
    workdir: pathlib.Path,
    parts: training.Parts,
    sizes: Sizes,
    num_features: int | None,
) -> dict[str, int]:
    """Bytes at most: the newest checkpoints, the best and one that is being written."""
    saves = actions(config, 0)["saves"]
    kept = min(config.training.keep + 2, saves)
    side, _, channels = datasets.image_shape(config)
    fields = {
        "checkpoint": footprint.num_bytes(parts.state),
        "checkpoints": footprint.num_bytes(parts.state) * kept,
        # Its images are beside it until it is whole.
        "synthetic.npz": sizes.export * (side * side * channels + 4) + NAMES_AND_META,
        "export": sizes.export * (2 * side * side * channels + 4) + NAMES_AND_META,
    }
    if num_features is not None:
        fields["features"] = 4 * num_features * num_compared(config, parts.splits, sizes)
    there = next(folder for folder in (workdir, *workdir.absolute().parents) if folder.exists())
    return fields | {"free": shutil.disk_usage(there).free}


def training_shortage(
    config: ConfigDict, placement: devices.Placement, programs: training.Programs, limit: int
) -> str:
    """What would fit in the place of a training step that does not; every figure is compiled."""

    def takes(**fields: int) -> int:
        other = config.copy_and_resolve_references()
        other.training.update(fields)
        made = training.build_programs(
            other, placement, programs.num_classes, programs.num_resident
        )
        return compile_training(placement, made).takes.total

    batch, parts = config.training.batch_size, config.training.accumulate
    known: dict[int, int] = {}
    largest = largest_that_fits(
        lambda n: takes(batch_size=n), batch, placement.num_devices * parts, limit, known
    )
    ways = [f"largest that fits is {largest}"] if largest else []
    (n0, b0), (n1, b1) = sorted(known.items())[0], sorted(known.items())[-1]
    if n1 > n0:
        each = (b1 - b0) / (n1 - n0)  # of an image of the batch, all parts of it together
        several = accumulation_that_fits(
            lambda n: takes(accumulate=n), batch // placement.num_devices, parts, limit,
            (b1 - each * n1, each * placement.num_devices * parts),
        )  # fmt: skip
        ways += [f"accumulate {several}"] if several else []
    return shortage(f"batch {batch}", known[batch], limit, ways)


def sampling_shortage(
    config: ConfigDict, programs: training.Programs, what: str, num: int, beside: int, limit: int
) -> str:
    """The same of a program that draws `num` images at once, with `beside` bytes of other things."""
    known: dict[int, int] = {}
    largest = largest_that_fits(
        lambda n: beside + compile_sampling(config, programs, n).takes.total,
        num, devices.place().num_devices, limit, known,
    )  # fmt: skip
    ways = [f"largest that fits is {largest}"] if largest else []
    return shortage(what, known[num], limit, ways)


def largest_that_fits(
    takes: Callable[[int], int], size: int, unit: int, limit: int, known: dict[int, int]
) -> int | None:
    """The largest multiple of `unit` below `size`, which does not fit, whose program does.

    On the line through the bytes of two sizes, and then of those around the limit; `takes(n)` compiles,
    and what it said is left in `known`.
    """
    known[size] = takes(size)
    wanted = max(unit, size // 2 // unit * unit)
    while wanted not in known and len(known) < MOST_COMPILED:
        known[wanted] = takes(wanted)
        fits = sorted(n for n, taken in known.items() if taken <= limit)
        too_large = sorted(n for n, taken in known.items() if taken > limit)
        low, high = [*fits[-1:], *too_large][:2]
        each = (known[high] - known[low]) / (high - low)
        if each <= 0:
            break  # not a line
        wanted = math.floor(low + (limit - known[low]) / each) // unit * unit
        wanted = min(max(wanted, unit), size - unit)
    return max((n for n, taken in known.items() if taken <= limit), default=None)


def accumulation_that_fits(
    takes: Callable[[int], int], rows: int, now: int, limit: int, line: tuple[float, float]
) -> int | None:
    """The fewest parts of a batch of `rows` (of one device), more than there are `now`, that fit.

    `line` is (bytes without a row, bytes of a row that is in work), by which those are passed over
    that cannot fit; `takes(parts)` compiles.
    """
    without, each = line
    likely = [
        parts
        for parts in range(now + 1, rows + 1)
        if rows % parts == 0 and without + each * rows / parts <= limit
    ]
    return next((parts for parts in likely[:MOST_COMPILED] if takes(parts) <= limit), None)


def shortage(what: str, needs: int, limit: int, ways: list[str]) -> str:
    """One line: what does not fit, and what does."""
    does = ", or ".join(ways) or "nothing smaller was found that fits"
    return f"will not fit: {what} needs {in_words(needs)} of {in_words(limit)}; {does}"


def in_words(number: float) -> str:
    """Bytes in words."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:.3g} {unit}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 100 else f"{hours / 24:,.0f} days"
