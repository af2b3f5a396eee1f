"""The rows of --mode=worth as a sentence and a table."""

from collections.abc import Mapping, Sequence
from typing import Any


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
    """`found`: what `worth_fields` returns; `rows`: all rows of the study."""
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
    """The largest gain and the largest loss shown when synthetic images are added to real ones."""
    parts = []
    for what, sign in (("gain", 1), ("loss", -1)):
        shown = [row for row in both if sign * row["gain_over_real"] > row["gain_ci95"]]
        if not shown:
            parts.append(f"no {what} was shown")
            continue
        row = max(shown, key=lambda row: sign * row["gain_over_real"])
        parts.append(
            f"the largest {what} shown is {100 * row['gain_over_real']:+.1f} +- "
            f"{100 * row['gain_ci95']:.1f} points ({row['n_train'] - row['real']:,} synthetic and "
            f"{row['real']:,} real images)"
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
