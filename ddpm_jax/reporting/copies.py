"""Whether a model copies its training images: as a section of the page, in words, and as pictures."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ddpm_jax.reporting import items
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import pictures, plots, report


def section(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    memory = found["evaluate"]["memorization"]
    if memory["copies"] is None:
        return [report.Prose(f"Not judged: {memory['why']}.")]
    if "looked_for" not in memory:
        return [report.Prose("Judged by an earlier version: --mode=evaluate judges it again.")]
    spaces = [space for space, fields in memory.items() if isinstance(fields, Mapping)]
    measures = {
        "equal or nearer to a training image than 99 % of the other real test images (%)": (
            "share",
            100,
        ),
        "the same, expected of new real images (%)": ("expected_share", 100),
        "p-value: chance of as many near ones, if none are copies": ("p_value", 1),
        "equal to a training image": ("exact", 1),
        "the same among the real test images": ("exact_of_test", 1),
        "p-value: chance of as many equal ones, if none are copies": ("exact_p_value", 1),
        "median distance to the nearest training image": ("median_distance", 1),
        "the same, of real test images": ("median_distance_of_test", 1),
        "exact duplicates among the samples": ("duplicates", 1),
        "near duplicates among the samples (%)": ("near_duplicates_share", 100),
        "the same among the real images of the floor (%)": ("near_duplicates_share_of_real", 100),
    }
    rows = [
        [text, *(f"{factor * memory[space][key]:.3g}" for space in spaces)]
        for text, (key, factor) in measures.items()
    ]
    chance = f"the chance of as many, if none are copies, is {memory['p_value']:.2g}"
    verdict = (
        report.Prose(
            f"It copies: more samples equal training images, or lie next to them, than real test images "
            f"do; {chance}.",
            "warning",
        )
        if memory["copies"]
        else report.Prose(
            "No sign of it: samples equal training images, or lie next to them, no more often than real "
            f"test images do; {chance}."
        )
    )
    sought = (
        f"In pixels, copies were looked for of training images {memory['looked_for']}"
        f"{variants_of(memory['num_variants'])}; in features, of training images as they are"
        f"{' and mirrored' * memory['mirrored']}. Real test images were searched in the same way. The chance "
        "is that of three tests together (equal, near in pixels, near in features), and the warning is "
        "given below 0.001: at most one generator in 1,000 that does not copy is warned of."
    )
    pairs = "The samples nearest to a training image, and that image below"
    return [
        verdict,
        *items.picture(figures / "closest.png", pairs),
        *items.pictures(
            (figures / "nearest.png", "Share of images over the distance to the nearest training image",
             "A curve of samples left of that of real test images would be copying."),
            (figures / "nearest-features.png", "The same, with distances in features", "In features."),
        ),
        report.Table(["", *("in pixels" if s == "pixels" else f"in features ({s})" for s in spaces)], rows),
        report.Prose(sought),
    ]  # fmt: skip


def variants_of(num: int) -> str:
    return f" ({num} variants of each)" if num > 1 else ""


def in_words(memory: Mapping[str, Any], num: int) -> list[str]:
    """Parts of the line that an evaluation prints."""
    if memory["copies"] is None:
        return []
    found = memory["pixels"]
    text = (
        f"{100 * found['share']:.1f} % nearer to a training image than 99 % of real test images "
        f"(expected of new images: {100 * found['expected_share']:.1f} %)"
    )
    if found["exact"]:
        text += f", {found['exact']} of {num} equal to one"
    return [text, *["THE MODEL COPIES training images"][: memory["copies"]]]


def draw(
    figures: pathlib.Path,
    space: str,
    pairs: np.ndarray,
    distances: np.ndarray,
    curves: Mapping[str, np.ndarray],
) -> None:
    """Draw the closest pairs, and the share of images with a training image nearer than each distance.

    pairs: uint8 [2, P, H, W, C], samples and their nearest training images, `distances` apart;
    curves: the distances of each set of images.
    """
    suffix = "" if space == "pixels" else "-features"
    picture = pictures.strip(
        pairs,
        [f"{distance:#.3g}" for distance in distances],
        row_labels=["synthetic", "nearest training image"],
        title=f"The {len(distances)} closest pairs, by distance in {space}",
    )
    pictures.save(figures / f"closest{suffix}.png", picture)
    figure = plots.lines(
        {
            name: plots.Curve(np.sort(far), np.arange(1, len(far) + 1) / len(far) * 100)
            for name, far in curves.items()
        },
        x_label=f"distance to the nearest training image, in {space}",
        y_label="images nearer than that (%)",
    )
    plots.save(figures / f"nearest{suffix}.png", figure)
