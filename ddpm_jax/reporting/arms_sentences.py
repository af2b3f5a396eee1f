"""The arms of --mode=classify as a table and a sentence for a terminal."""

from collections.abc import Mapping
from typing import Any

from ddpm_jax.reporting import items


def table(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Accuracies in percent, and the gain over real paired by seed, with 95 % intervals."""
    head = f"{'trained on':<18}{'images':>8}{'seeds':>7}{'accuracy':>16}{'against real':>18}"
    rows = [
        f"{arm:<18}{fields['n_train']:>8}{fields['seeds']:>7}"
        f"{percent(fields):>16}" + ("" if arm == "real" else f"{points(fields):>18}")
        for arm, fields in arms.items()
    ]
    return "\n".join([head, *rows])


def sentence(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Names no winner if the interval of the difference contains zero."""
    real = arms["real"]
    parts = [f"real: {percent(real)}"]
    if "synthetic" in arms:
        only = arms["synthetic"]
        below = abs(100 * only["gain_over_real"])
        side = "below" if only["gain_over_real"] < 0 else "above"
        parts.append(
            f"synthetic-only: {percent(only)}, {below:.1f} points {side} real{doubt(only)}"
        )
    for arm, text in (
        ("real+synthetic", "adding it to real"),
        ("real+duplicated", "as many duplicates instead"),
        ("real+augmented", "as many augmented copies instead"),
    ):
        if arm in arms:
            gain = points(arms[arm])
            parts.append(f"{text}: {gain}{doubt(arms[arm])}")
    return "; ".join(parts)


def doubt(arm: Mapping[str, Any]) -> str:
    unclear = abs(arm["gain_over_real"]) <= arm["gain_ci95"]
    return " (no difference shown)" if unclear else ""


def percent(arm: Mapping[str, Any]) -> str:
    return items.percent_text(arm["accuracy"], arm["ci95"], "+-") + " %"


def points(arm: Mapping[str, Any]) -> str:
    return items.points_text(arm["gain_over_real"], arm["gain_ci95"], "+-")
