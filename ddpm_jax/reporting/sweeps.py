"""Samplers and guidance scales side by side: the section of the page, and its curves."""

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ddpm_jax.reporting import items
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import plots, report


def section(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["sweep"]
    rows = fields["points"] or []
    measured = [
        [
            row["solver"],
            row["spacing"],
            str(row["num_steps"]),
            f"{row['scale']:g}",
            distance_text(row, fields["distance"]),
            *([items.percent_text(row["accuracy"], row["ci95"])] if "accuracy" in row else []),
        ]
        for row in rows
    ]
    shown: Items = [
        *items.picture(
            figures / "sweep.png", "One image of each class for every sampler and guidance scale"
        ),
    ]
    if not measured:
        return shown
    columns = ["solver", "spacing", "steps", "guidance", fields["distance"]]
    taught = "accuracy" in rows[0]
    several = "distance_ci95" in rows[0]
    noise = f"each of the same {fields['noises']} sets of noise" if several else "the same noise"
    caption = (
        f"{fields['n']:,} synthetic images each, from {noise}, against the "
        f"{fields['n_reference']:,} real images of the {fields['reference']}."
        + " Intervals of distances are over the sets of noise." * several
        + " Accuracy is of classifiers trained on those images alone." * taught
    )
    drawn = [(figures / "sweep-distance.png", "Distance to real images over steps or guidance", "")]
    if taught:
        columns.append("accuracy (%)")
        drawn.append((figures / "sweep-accuracy.png", "Accuracy over steps or guidance", ""))
    return [report.Table(columns, measured, caption), *items.pictures(*drawn), *shown]


def distance_text(row: Fields, name: str) -> str:
    """With its 95 % interval, if there are several sets of noise."""
    if "distance_ci95" not in row:
        return f"{row[name]:.3g}"
    return f"{row[name]:.3g} ± {row['distance_ci95']:.2g}"


def draw(path_of: Callable[[str], pathlib.Path], rows: Sequence[Fields], distance: str) -> None:
    """Draw a curve per sampler, over the guidance scale if there are several, else over the steps."""
    over_scale = len({row["scale"] for row in rows}) > 1
    x, x_label = ("scale", "guidance scale") if over_scale else ("num_steps", "steps")
    curves: dict[str, list[Fields]] = {}
    for row in rows:
        name = f"{row['solver']}, {row['spacing']}"
        name += f", {row['num_steps']} steps" * over_scale
        curves.setdefault(name, []).append(row)
    for field, interval, label in (
        (distance, "distance_ci95", distance),
        ("accuracy", "ci95", "synthetic-only accuracy (%)"),
    ):
        if field not in rows[0]:
            continue
        factor = 100 if field == "accuracy" else 1
        lines = {
            name: plots.Curve(
                np.array([row[x] for row in points]),
                factor * np.array([row[field] for row in points]),
                factor * np.array([row[interval] for row in points])
                if interval in rows[0]
                else None,
            )
            for name, points in curves.items()
        }
        figure = plots.lines(lines, x_label=x_label, y_label=label, log_x=not over_scale)
        name = "accuracy" if factor > 1 else "distance"
        plots.save(path_of(f"sweep-{name}.png"), figure)
