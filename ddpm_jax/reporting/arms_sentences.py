"""The arms of --mode=classify as a table and a sentence for a terminal."""

from collections.abc import Mapping
from typing import Any

from ddpm_jax.reporting import items

ADDED = {
    "real+synthetic": "adding it to real",
    "real+duplicated": "duplicates instead",
    "real+augmented": "augmented copies instead",
}
"""What is added to real images in an arm; other arms are called by their names."""


def table(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Accuracies in percent, and the gain over real paired by seed, with 95 % intervals."""
    width = max(18, *(len(arm) + 2 for arm in arms))
    head = f"{'trained on':<{width}}{'images':>8}{'seeds':>7}{'accuracy':>16}{'against real':>18}"
    rows = [
        f"{arm:<{width}}{fields['n_train']:>8}{fields['seeds']:>7}"
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
    others = [arm for arm in arms if arm not in ("real", "synthetic", *ADDED)]
    texts = {arm: ADDED[arm] for arm in ADDED if arm in arms} | {arm: arm for arm in others}
    for arm, text in texts.items():
        parts.append(f"{text}: {points(arms[arm])}{doubt(arms[arm])}")
    return "; ".join(parts)


def doubt(arm: Mapping[str, Any]) -> str:
    unclear = abs(arm["gain_over_real"]) <= arm["gain_ci95"]
    return " (no difference shown)" if unclear else ""


def percent(arm: Mapping[str, Any]) -> str:
    return items.percent_text(arm["accuracy"], arm["ci95"], "+-") + " %"


def points(arm: Mapping[str, Any]) -> str:
    return items.points_text(arm["gain_over_real"], arm["gain_ci95"], "+-")
