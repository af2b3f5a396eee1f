"""What fits into a device's memory instead of what does not; every figure comes from compiling."""

import math
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from ddpm_jax import units
from ddpm_jax.assembly import training
from ddpm_jax.planning.requirements import (
    Sizes,
    compile_sampling,
    compile_training,
)
from ddpm_jax.training import devices, footprint

MOST_COMPILED = 5
"""Most programs to compile in search of one that fits."""


def shortage(
    config: ConfigDict,
    parts: training.Parts,
    sizes: Sizes,
    memory: Mapping[str, int],
    limit: int,
) -> str | None:
    """What does not fit, and what would; None if everything fits."""
    programs = parts.programs
    if memory["training"] > limit:
        return training_shortage(config, parts.placement, programs, limit)
    if memory["grid"] > limit:
        beside = footprint.num_bytes(parts.state) - memory["average"]
        num = sizes.grid_at_once
        what = f"sampling.batch_size {num} beside the training"
        return sampling_shortage(config, programs, what, num, beside, limit)
    if memory["export"] > limit:
        num = sizes.export_at_once
        what = f"sampling.batch_size {num}"
        return sampling_shortage(config, programs, what, num, 0, limit)
    return None


def training_shortage(
    config: ConfigDict, placement: devices.Placement, programs: training.Programs, limit: int
) -> str:
    """What would fit instead of a training step that does not; every figure comes from compiling."""

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
        each = (b1 - b0) / (n1 - n0)  # bytes per image of the batch, over all its parts
        several = accumulation_that_fits(
            lambda n: takes(accumulate=n), batch // placement.num_devices, parts, limit,
            (b1 - each * n1, each * placement.num_devices * parts),
        )  # fmt: skip
        ways += [f"accumulate {several}"] if several else []
    return in_one_line(f"batch {batch}", known[batch], limit, ways)


def sampling_shortage(
    config: ConfigDict, programs: training.Programs, what: str, num: int, beside: int, limit: int
) -> str:
    """The same for a program that draws `num` images at once, with `beside` bytes of other things."""
    known: dict[int, int] = {}
    largest = largest_that_fits(
        lambda n: beside + compile_sampling(config, programs, n).takes.total,
        num, devices.place().num_devices, limit, known,
    )  # fmt: skip
    ways = [f"largest that fits is {largest}"] if largest else []
    return in_one_line(what, known[num], limit, ways)


def largest_that_fits(
    takes: Callable[[int], int], size: int, unit: int, limit: int, known: dict[int, int]
) -> int | None:
    """The largest multiple of `unit` whose program fits; it is below `size`, which does not fit.

    Searches on the line through the bytes of two sizes, then of those around the limit. `takes(n)`
    compiles; its results are left in `known`.
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
    """The fewest parts that fit, more than `now`, of a batch of `rows` (of one device).

    `line` is (bytes without a row, bytes of a row in work); by it, numbers of parts that cannot fit are
    skipped. `takes(parts)` compiles.
    """
    without, each = line
    likely = [
        parts
        for parts in range(now + 1, rows + 1)
        if rows % parts == 0 and without + each * rows / parts <= limit
    ]
    return next((parts for parts in likely[:MOST_COMPILED] if takes(parts) <= limit), None)


def in_one_line(what: str, needs: int, limit: int, ways: list[str]) -> str:
    """One line: what does not fit, and what does."""
    does = ", or ".join(ways) or "nothing smaller was found that fits"
    return (
        f"will not fit: {what} needs {units.num_bytes(needs)} of {units.num_bytes(limit)}; {does}"
    )
