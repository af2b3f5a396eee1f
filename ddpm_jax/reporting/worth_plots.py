"""The curves of --mode=worth."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddpm_jax.viz import plots


def draw(figures: pathlib.Path, fields: Mapping[str, Any]) -> None:
    rows, title = fields["points"], f"{fields['tested_on']}, {fields['n_test']} images"

    def curve(chosen: Sequence[Mapping[str, Any]], x: str) -> plots.Curve:
        columns = ([row[x] for row in chosen], *in_percent(chosen))
        return plots.Curve(*(np.array(column, np.float64) for column in columns))

    alone = {arm: [row for row in rows if row["arm"] == arm] for arm in ("real", "synthetic")}
    both = [row for row in rows if row["arm"] == "real+synthetic"]
    curves = {"real": curve(alone["real"], "real")}
    for multiple in sorted({row["multiple"] for row in both}):
        chosen = [row for row in both if row["multiple"] == multiple]
        curves[f"real + {multiple} x synthetic"] = curve(chosen, "real")
    only = alone["synthetic"][-1]
    level = {f"{only['n_train']:,} synthetic only": 100 * only["accuracy"]}

    def save(
        name: str, curves: Mapping[str, plots.Curve], x: str, levels: Mapping[str, float]
    ) -> None:
        figure = plots.lines(
            curves, x_label=x, y_label="accuracy (%)", log_x=True, levels=levels, title=title
        )
        plots.save(figures / name, figure)

    save("worth.png", curves, "real training images", level)
    curves = {arm: curve(alone[arm], "n_train") for arm in ("real", "synthetic")}
    save("worth-alone.png", curves, "training images", {})
    plots.save(figures / "worth-equivalence.png", equivalence_plot(alone, title))
    if both:
        best = max(both, key=lambda row: row["gain_over_real"])
        drawn = dict(
            zip(
                fields["class_names"],
                zip(best["per_class_gain"], best["per_class_gain_ci95"], strict=True),
                strict=True,
            )
        )
        title = f"{best['multiple']} x synthetic added to {best['real']:,} real images"
        figure = plots.arms(drawn, low=-100, x_label="gain in accuracy, points", title=title)
        plots.save(figures / "worth-classes.png", figure)


def equivalence_plot(alone: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> plots.Figure:
    def column(name: str, missing: float) -> np.ndarray:
        values = [row["worth_real"][name] for row in alone["synthetic"]]
        return np.array([missing if value is None else value for value in values], np.float64)

    sizes = [row["real"] for row in alone["real"]]
    return plots.equivalence(
        np.array([row["n_train"] for row in alone["synthetic"]], np.float64),
        column("images", np.nan),
        np.array([column("low", 0.0), column("high", np.inf)]),
        between=(min(sizes), max(sizes)),
        title=title,
    )


def in_percent(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Accuracies and the half widths of their intervals."""
    return [100 * row["accuracy"] for row in rows], [100 * row["ci95"] for row in rows]
