"""Whether a model copies its training images: numbers, and pictures of the closest pairs."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ddpm_jax.assembly.distances import Sets
from ddpm_jax.evaluation import memorization
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures, plots

CLOSEST_PAIRS = 12
FEWEST_TO_TEST_COPIES = 99  # so that one of them lies below the 1 % quantile
ALARM = 0.001  # p-value below which the page warns of copies


def look_for(images: Sets, seen: Sets, name: str, figures: pathlib.Path) -> dict[str, Any]:
    """In pixels and in features: which samples are nearer to training images than test images are?"""
    if len(images.test) < FEWEST_TO_TEST_COPIES:
        why = f"{len(images.test)} test images, {FEWEST_TO_TEST_COPIES} needed"
        return {"copies": None, "why": why}
    flat = Sets(*(part.reshape(len(part), -1) / 255.0 for part in images))
    curves = {}
    fields: dict[str, Any] = {}
    for space, points in (("pixels", flat), (name, seen)):
        near = memorization.nearest(points.synthetic, points.train)
        real = memorization.nearest(points.test, points.train)
        fields[space] = copy_fields(near, real) | duplicates(points)
        curves[space] = {"synthetic": near.distance, "real test": real.distance}
        draw_pairs(figures, space, near, images)
    draw_nearest(figures / "nearest.png", curves)
    fields["copies"] = any(fields[space]["p_value"] < ALARM for space in ("pixels", name))
    return fields


def copy_fields(near: memorization.Nearest, real: memorization.Nearest) -> dict[str, Any]:
    found = memorization.copy_test(near.distance, real.distance)
    return {
        "share": found.share,
        "expected_share": found.expected_share,
        "threshold": found.threshold,
        "p_value": found.p_value,
        "exact": int(np.sum(near.distance == 0)),
        "median_distance": float(np.median(near.distance)),
        "median_distance_of_test": float(np.median(real.distance)),
    }


def duplicates(points: Sets) -> dict[str, Any]:
    """How near the samples come to each other, beside real training images, as many of them."""
    within, real = (memorization.nearest_within(p) for p in (points.synthetic, points.floor))
    near = np.quantile(real.distance, 0.01)
    return {
        "duplicates": int(np.sum(within.distance == 0)),
        "near_duplicates_share": float(np.mean(within.distance < near)),
        "near_duplicates_share_of_real": float(np.mean(real.distance < near)),
    }


def draw_pairs(figures: pathlib.Path, space: str, near: memorization.Nearest, images: Sets) -> None:
    ours, theirs = memorization.closest_pairs(near, CLOSEST_PAIRS)
    pair = np.stack([images.synthetic[ours], images.train[theirs]])
    labels = [f"{distance:#.3g}" for distance in near.distance[ours]]
    title = f"The {len(ours)} closest pairs, by distance in {space}"
    picture = pictures.strip(
        pair, labels, row_labels=["synthetic", "nearest training image"], title=title
    )
    if devices.is_writer():
        pictures.save(
            figures / ("closest.png" if space == "pixels" else "closest-features.png"), picture
        )


def draw_nearest(path: pathlib.Path, curves: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Which share of images has a training image nearer than so much."""
    for space, sets in curves.items():
        drawn = {
            name: plots.Curve(np.sort(far), np.arange(1, len(far) + 1) / len(far) * 100)
            for name, far in sets.items()
        }
        figure = plots.lines(
            drawn,
            x_label=f"distance to the nearest training image, in {space}",
            y_label="images nearer than that (%)",
        )
        if devices.is_writer():
            plots.save(
                path.with_stem(path.stem + ("" if space == "pixels" else "-features")), figure
            )
