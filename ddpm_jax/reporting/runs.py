"""Several runs side by side, one row each."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ddpm_jax.reporting import distances, items
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import plots, report

Found = Mapping[str, tuple[Fields, Fields | None]]
"""Name of a run -> results of --mode=classify and, if there are any, of --mode=evaluate."""


def check_comparable(found: Found) -> None:
    """Raises ValueError if runs lack a baseline, or have different test images or classifiers."""
    first, *others = found
    for name, (worth, _) in found.items():
        if "real" not in worth["arms"]:
            raise ValueError(
                f"{name} has the arms {', '.join(worth['arms'])}; wanted 'real' among them, the baseline"
            )
    for field, what in (("test_sha256", "test images"), ("classifier", "classifier settings")):
        for other in others:
            if found[first][0][field] != found[other][0][field]:
                raise ValueError(
                    f"{first} and {other} have other {what}; their accuracies cannot be compared"
                )


def table(found: Found) -> dict[str, Any]:
    """Columns, rows and caption."""
    first, _ = next(iter(found.values()))
    return {
        "columns": [
            "run",
            "synthetic only (%)",
            "against real",
            "real + synthetic",
            *distances.columns(),
        ],
        "rows": [row(name, *fields) for name, fields in found.items()],
        "caption": f"Accuracy on {first['n_test']:,} real images of the {first['tested_on']}; gains in "
        "points over real images alone, with 95 % intervals over seeds. Distances on other features than "
        "the official Inception's are comparable only where these are the same.",
    }


def row(name: str, worth: Fields, evaluation: Fields | None) -> list[str]:
    arms = worth["arms"]
    cells = [name, "-", "-", "-"]
    if "synthetic" in arms:
        only = arms["synthetic"]
        cells[1] = items.percent_text(only["accuracy"], only["ci95"])
        cells[2] = items.points_text(only["gain_over_real"], only["gain_ci95"])
    if "real+synthetic" in arms:
        both = arms["real+synthetic"]
        cells[3] = items.points_text(both["gain_over_real"], both["gain_ci95"])
    return [*cells, *distances.cells(evaluation)]


def plot(found: Found) -> plots.Figure:
    """The accuracy of every run's arms."""
    first, _ = next(iter(found.values()))
    drawn = {
        f"{name}: {arm}": (worth["arms"][arm]["accuracy"], worth["arms"][arm]["ci95"])
        for name, (worth, _) in found.items()
        for arm in ("real", "synthetic", "real+synthetic")
        if arm in worth["arms"]
    }
    return plots.arms(drawn, title=f"{first['tested_on']}, {first['n_test']} images")


def section(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["runs"]
    return [
        report.Table(fields["columns"], fields["rows"], fields["caption"]),
        *items.picture(figures / "runs.png", "Accuracy of each run with its interval"),
        *items.picture(
            figures / "runs-samples.png", "Synthetic images of each run, one row for each class"
        ),
    ]
