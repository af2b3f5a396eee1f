"""--mode=own in words: the answer in a sentence, and the table."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddpm_jax.reporting import items
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import plots, report

BASELINES = ("real", "augmented")
WHOLE = ' At "all", every set is the same images, so that its draw is not covered.'
CHOSEN = (
    "Settings of the classifiers, chosen by the accuracy on held-out folds of further small sets."
)
GIVEN = "Settings of the classifiers, as the config gives them: none were chosen."


def sentence(fields: Mapping[str, Any]) -> str:
    """The answer at each size."""
    parts = []
    for size in fields["sizes"]:
        of_arm = {row["arm"]: row for row in size["rows"]}
        alone, both = (of_arm[size["chosen"][group]["judge"]] for group in ("real", "synthetic"))
        parts.append(
            f"With {number(size)} images a class, adding {size['synthetic']:,} synthetic ones to augmented "
            f"training changes accuracy by {gain(both, 'augmented')} points; augmentation alone gives "
            f"{gain(alone, 'real')}"
        )
    return ". ".join(parts)


def number(size: Mapping[str, Any]) -> str:
    return str(size["per_class"] or "all")


def images_per_class(size: Mapping[str, Any]) -> int:
    found: int = size.get("images_per_class", size["per_class"])  # 0.2 had no images_per_class
    return found


def gain(row: Mapping[str, Any], over: str, sign: str = "+-") -> str:
    return items.points_text(row[f"gain_over_{over}"], row[f"gain_over_{over}_ci95"], sign)


def table(sizes: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"{'a class':>8}  {'trained on':<36}{'accuracy':>16}{'over real':>16}{'over augmented':>16}"
    ]
    for size in sizes:
        for row in size["rows"]:
            accuracy = items.percent_text(row["accuracy"], row["ci95"], "+-")
            gains = "".join(
                f"{gain(row, over) if f'gain_over_{over}' in row else '':>16}" for over in BASELINES
            )
            lines.append(f"{number(size):>8}  {row['arm']:<36}{accuracy:>16}{gains}".rstrip())
    return "\n".join(lines)


def section(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["own"]
    sizes = fields["sizes"]
    rows = [
        [
            number(size),
            row["arm"],
            items.percent_text(row["accuracy"], row["ci95"]),
            *(gain(row, over, "±") if f"gain_over_{over}" in row else "-" for over in BASELINES),
        ]
        for size in sizes
        for row in size["rows"]
    ]
    caption = (
        f"Each of {fields['num_sets']} small sets has its own generator, which has seen no other image, and "
        f"its own classifiers. All classifiers take {fields['num_steps']:,} steps. Mean accuracy on "
        f"{fields['n_test']:,} real images of the {fields['tested_on']}; 95 % intervals cover the draw "
        "of the set, the generator and the classifiers, not the draw of the test images; gains are "
        "paired by set." + WHOLE * any(not size["per_class"] for size in sizes)
    )
    columns = ["real images a class", "trained on", "accuracy (%)", "over real", "over augmented"]
    copied = [[number(size), *copies(size)] for size in sizes]
    chosen = [
        [number(size), group, words(found["settings"]), str(len(found["tried"]))]
        for size in sizes
        for group, found in size["chosen"].items()
    ]
    return [
        *items.picture(figures / "own.png", "Accuracy over the number of real images of a class"),
        report.Table(columns, rows, caption),
        report.Table(
            ["real images a class", "synthetic", "copies (%)", "of new real images (%)"],
            copied,
            "Synthetic images that are copies of the small set in pixels, mean over the sets, and how many "
            "new real images would count as copies.",
        ),
        report.Table(
            ["real images a class", "arms", "settings", "tried"],
            chosen,
            CHOSEN if any(row[-1] != "0" for row in chosen) else GIVEN,
        ),
    ]


def copies(size: Mapping[str, Any]) -> list[str]:
    """Images, share of copies and expected share; the reason where they were not told from chance."""
    found = size["copies"]
    if found["share"] is None:
        return ["-", f"not judged: {found['why']}", "-"]
    shares = (f"{100 * found[name]:.1f}" for name in ("share", "expected_share"))
    return [f"{found.get('n', size['synthetic']):,}", *shares]  # 0.2 had no n


def words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def plot(fields: Mapping[str, Any]) -> plots.Figure:
    title = f"{fields['tested_on']}, {fields['n_test']} images"
    if len(fields["sizes"]) == 1:  # a curve of one point would show no interval
        (size,) = fields["sizes"]
        drawn = {row["arm"]: (row["accuracy"], row["ci95"]) for row in size["rows"]}
        return plots.arms(drawn, title=f"{title}; {number(size)} real images a class")
    curves = {}
    sizes = sorted(fields["sizes"], key=images_per_class)
    for arm in [row["arm"] for row in sizes[0]["rows"]]:
        pairs = [
            (images_per_class(size), row)
            for size in sizes
            for row in size["rows"]
            if row["arm"] == arm
        ]
        columns = (
            [per_class for per_class, _ in pairs],
            [100 * row["accuracy"] for _, row in pairs],
            [100 * row["ci95"] for _, row in pairs],
        )
        curves[arm] = plots.Curve(*(np.array(column, np.float64) for column in columns))
    return plots.lines(
        curves,
        x_label="real images a class",
        y_label="accuracy (%)",
        log_x=True,
        title=title,
    )
