"""What --mode=worth found, as rows of numbers, a sentence and a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddpm_jax.assembly import subsets
from ddpm_jax.evaluation import equivalence
from ddpm_jax.evaluation import worth as statistics


def summarize(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Means and 95 % t-intervals over seeds; gains are over the same real images alone, by seed."""
    counts = {point: np.array([o["confusion"] for o in found]) for point, found in several.items()}
    right = {p: statistics.accuracy(c) for p, c in counts.items()}
    by_class = {
        p: np.array([statistics.per_class_accuracy(c) for c in cs]) for p, cs in counts.items()
    }
    sizes, curve = real_curve(several)
    rows = []
    for point, found in several.items():
        mean, half_width = statistics.mean_interval(right[point])
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
            gain, width = statistics.paired_difference(right[point], right[baseline])
            gains = [
                statistics.paired_difference(*pair)
                for pair in zip(by_class[point].T, by_class[baseline].T, strict=True)
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
    """Numbers of real images `[M]` and the accuracies of classifiers trained on them alone `[M, S]`."""
    alone = [found for point, found in several.items() if not point.added]
    counts = np.array([[outcome["confusion"] for outcome in found] for found in alone])
    return np.array([found[0]["n_train"] for found in alone]), statistics.accuracy(counts)


def worth_fields(found: equivalence.Equivalence) -> dict[str, Any]:
    """JSON has no infinity: `high` is None where the largest real set is not shown to be better."""
    high = None if math.isinf(found.high) else found.high
    return {
        "images": found.images,
        "low": found.low,
        "high": high,
        "bound": found.images is None,
    }


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """What all synthetic images alone are worth, and where they help and harm most."""
    only = next(row for row in reversed(rows) if row["arm"] == "synthetic")
    found = only["worth_real"]
    parts = [
        f"{only['n_train']:,} synthetic images are worth {number(found, rows)} real ones "
        f"({interval(found, rows)})"
    ]
    both = [row for row in rows if row["arm"] == "real+synthetic"]
    return "; ".join(parts + ([extremes(both)] if both else []))


def number(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """`found` is what `worth_fields` returns, `rows` are all of the study."""
    low, high = found["low"], found["high"]
    if found["images"] is not None:
        return f"{found['images']:,.0f}"
    if low and high is not None:
        return f"between {low:,.0f} and {high:,.0f}"
    if low:
        return f"more than {low:,.0f}"
    if high is not None:
        return f"fewer than {high:,.0f}"
    few, many = _range(rows)
    return f"fewer than {few:,} to more than {many:,}"


def interval(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    if found["images"] is None:
        return "a bound at 95 %"
    few, many = _range(rows)
    low = f"{found['low']:,.0f}" if found["low"] else f"fewer than {few:,}"
    high = f"more than {many:,}" if found["high"] is None else f"{found['high']:,.0f}"
    return f"95 % interval: {low} to {high}"


def _range(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    sizes = [row["real"] for row in rows if row["arm"] == "real"]
    return min(sizes), max(sizes)


def extremes(both: Sequence[Mapping[str, Any]]) -> str:
    """The largest gain and the largest loss that were shown by adding synthetic images to real ones."""
    parts = []
    for what, sign in (("gain", 1), ("loss", -1)):
        shown = [row for row in both if sign * row["gain_over_real"] > row["gain_ci95"]]
        if not shown:
            parts.append(f"no {what} was shown")
            continue
        row = max(shown, key=lambda row: sign * row["gain_over_real"])
        parts.append(
            f"the largest {what} shown is {100 * row['gain_over_real']:+.1f} +- "
            f"{100 * row['gain_ci95']:.1f} points ({row['multiple']} for each of {row['real']:,} real images)"
        )
    compared = f"in {len(both)} comparisons" if len(both) > 1 else "in one comparison"
    selected = (
        "; their intervals do not allow for the selection"
        if len(both) > 1 and any("largest" in part for part in parts)
        else ""
    )
    return f"added to real images, {compared}, {' and '.join(parts)}{selected}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        f"{'trained on':<16}{'real':>8}{'images':>8}{'accuracy':>16}{'against real':>18}{'ECE':>8}"
        "  worth real"
    )
    lines = [head]
    for row in rows:
        accuracy = f"{100 * row['accuracy']:.1f} +- {100 * row['ci95']:.1f} %"
        gain = (
            f"{100 * row['gain_over_real']:+.1f} +- {100 * row['gain_ci95']:.1f}"
            if "gain_ci95" in row
            else ""
        )
        worth = (
            f"  {number(row['worth_real'], rows)} ({interval(row['worth_real'], rows)})"
            if "worth_real" in row
            else ""
        )
        lines.append(
            f"{row['arm']:<16}{row['real']:>8}{row['n_train']:>8}{accuracy:>16}{gain:>18}"
            f"{row['calibration_error']:>8.3f}{worth}"
        )
    return "\n".join(lines)
