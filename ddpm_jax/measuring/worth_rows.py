"""Results of --mode=worth: a row of numbers for each training set."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddpm_jax.evaluation import equivalence
from ddpm_jax.evaluation import worth as statistics
from ddpm_jax.measuring import subsets


def summarize(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Means and 95 % t-intervals over seeds; gains, paired by seed, are over the same real images alone."""
    counts = {point: np.array([o["confusion"] for o in found]) for point, found in several.items()}
    right = {p: statistics.accuracy(c) for p, c in counts.items()}
    by_class = {
        p: np.array([statistics.per_class_accuracy(c) for c in cs]) for p, cs in counts.items()
    }
    sizes, curve = real_curve(several)
    rows = []
    for point, found in several.items():
        of_class = counts[point][0].sum(axis=1)
        step = 1 / of_class.sum()
        mean, half_width = statistics.mean_interval(right[point], step)
        row = {
            "arm": point.arm,
            "real": several[subsets.Point(point.real, 0, 0)][0]["n_train"] if point.real else 0,
            "multiple": point.multiple,
            "n_train": found[0]["n_train"],
            "accuracy": mean,
            "ci95": half_width,
            "accuracies": right[point],
            "per_class_accuracy": by_class[point].mean(axis=0),
            "calibration_error": float(np.mean([o["calibration_error"] for o in found])),
        }
        if point.added:
            baseline = subsets.Point(point.real or subsets.ALL, 0, 0)
            gain, width = statistics.paired_difference(right[point], right[baseline], step)
            gains = [
                statistics.paired_difference(one, other, 1 / max(num, 1))
                for one, other, num in zip(
                    by_class[point].T, by_class[baseline].T, of_class, strict=True
                )
            ]
            row |= {
                "gain_over_real": gain,
                "gain_ci95": width,
                "per_class_gain": [gain for gain, _ in gains],
                "per_class_gain_ci95": [width for _, width in gains],
            }
        if point.added and point.kind == "synthetic":
            row["worth_real"] = worth_fields(equivalence.equivalence(sizes, curve, right[point]))
        rows.append(row)
    return rows


def real_curve(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]],
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of real images `[M]`, and accuracies of classifiers trained on them alone `[M, S]`."""
    alone = [found for point, found in several.items() if not point.added]
    counts = np.array([[outcome["confusion"] for outcome in found] for found in alone])
    return np.array([found[0]["n_train"] for found in alone]), statistics.accuracy(counts)


def worth_fields(found: equivalence.Equivalence) -> dict[str, Any]:
    """JSON has no infinity, so `high` is None if the largest real set is not shown to be better."""
    high = None if math.isinf(found.high) else found.high
    return {
        "images": found.images,
        "low": found.low,
        "high": high,
        "bound": found.images is None,
    }


def further_point(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]], num_real: int
) -> subsets.Point | None:
    """The real size that tells most about the worth of all synthetic images alone, if any does."""
    sizes, curve = real_curve(several)
    only = several[subsets.Point(0, subsets.ALL, 0)]
    accuracy = statistics.accuracy(np.array([outcome["confusion"] for outcome in only]))
    of_each = {p.real: found[0]["n_train"] for p, found in several.items() if not p.added}
    wanted = equivalence.wanted_sizes(sizes, curve, accuracy)
    found = (subsets.real_point(size, of_each, num_real) for size in wanted)
    return next((point for point in found if point), None)


def key(point: subsets.Point, seed: int) -> str:
    """The name of an outcome in the work that is kept."""
    return f"{point.kind}/{point.real}/{point.added}/{seed}"


def by_point(
    points: Sequence[subsets.Point], known: Mapping[str, Any], num_seeds: int
) -> dict[subsets.Point, list[Any]]:
    return {point: [known[key(point, seed)] for seed in range(num_seeds)] for point in points}
