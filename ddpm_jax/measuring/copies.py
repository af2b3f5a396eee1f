"""Whether a model copies its training images: numbers, and pictures of the closest pairs.

Copies are looked for among the training images as they are and as the config's augmentation may have
changed them. Real test images are searched in the same way, so that what is found of them by chance is
what is found of samples by chance, whatever the search misses.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from ml_collections import ConfigDict

from ddpm_jax.evaluation import memorization
from ddpm_jax.measuring import feature_networks, labelled, variants
from ddpm_jax.measuring.distances import Features, Sets
from ddpm_jax.measuring.feature_networks import Network
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures, plots

CLOSEST_PAIRS = 12
FEWEST_TO_TEST_COPIES = 99  # so that one of them lies below the 1 % quantile
# The page warns of copies where the p-value is below this: the rate of false alarms is at most as large.
ALARM = 0.001


class Found(NamedTuple):
    """The nearest training image of each image, and the variant of it; which ones have equal pixels."""

    near: memorization.Nearest
    variant: Int[np.ndarray, "N"]
    exact: Bool[np.ndarray, "N"]

    def part(self, rows: slice) -> "Found":
        near = memorization.Nearest(*(values[rows] for values in self.near))
        return Found(near, self.variant[rows], self.exact[rows])


def look_for(
    images: Sets,
    seen: Sets,
    network: Network,
    folder: pathlib.Path,
    config: ConfigDict,
    figures: pathlib.Path,
) -> dict[str, Any]:
    """In pixels and in features: which samples are nearer to training images than test images are?"""
    if len(images.test) < FEWEST_TO_TEST_COPIES:
        why = f"{len(images.test)} test images, {FEWEST_TO_TEST_COPIES} needed"
        return {"copies": None, "why": why}
    section = config.augment
    sought = variants.build_variants(section)
    queries = {"synthetic": images.synthetic, "real test": images.test}
    points = {"synthetic": seen.synthetic, "real test": seen.test}
    if variants.has_more_than_flips(section):
        # What a generator learns is augmented, and may lie nearer to training images for that alone.
        queries["augmented real test"] = augmented(config, images.test)
    in_pixels = search(queries, images.train, sought)
    exact = {name: found.exact for name, found in in_pixels.items()}
    in_features = search_features(queries, points, exact, seen.train, section.flip, network, folder)
    # The two parts that `duplicates` reads.
    parts = {name: as_floats(getattr(images, name)) for name in ("synthetic", "floor")}
    flat = images._replace(**parts)
    fields: dict[str, Any] = {}
    for space, found, points_of in (
        ("pixels", in_pixels, flat),
        (network.name, in_features, seen),
    ):
        ours, *real = found.values()
        fields[space] = copy_fields(ours, real) | duplicates(points_of)
        curves = {name: part.near.distance for name, part in found.items()}
        draw_pairs(figures, space, ours, images, sought)
        draw_nearest(figures / "nearest.png", space, curves)
    pixels, others = fields["pixels"], fields[network.name]
    fields["p_value"] = together(pixels["exact_p_value"], pixels["p_value"], others["p_value"])
    fields["copies"] = fields["p_value"] < ALARM
    fields["looked_for"] = variants.in_words(section)
    fields["num_variants"], fields["mirrored"] = len(sought), section.flip
    return fields


def augmented(config: ConfigDict, images: Pixels) -> Pixels:
    unlabelled = labelled.Labelled(images, np.zeros(len(images), np.int32))
    return labelled.augmented(config.augment, config.seed, unlabelled).image


def search(
    queries: Mapping[str, np.ndarray], train: Pixels, sought: Sequence[variants.Variant]
) -> dict[str, Found]:
    """In pixels, among all variants.

    A variant that is not `whole` is searched among images of fewer pixels; the distance to the image
    found there is that of all pixels.
    """
    images = np.concatenate(list(queries.values()))
    flat, coarse = as_floats(images), memorization.pooled(images)
    best = None
    for number, variant in enumerate(sought):
        there = variant.change(train)
        if variant.whole:
            indices = memorization.nearest_indices(flat, as_floats(there))
        else:
            indices = memorization.nearest_indices(coarse, memorization.pooled(there))
        equal = memorization.equal_to(images, there)
        indices = np.where(equal >= 0, equal, indices)
        distance = memorization.distances(flat, as_floats(there[indices]))
        near = memorization.Nearest(indices, distance)
        best = closer(best, Found(near, np.full(len(images), number), equal >= 0))
    return split(best, queries)


def search_features(
    queries: Mapping[str, np.ndarray],
    points: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    train: Features,
    flip: bool,
    network: Network,
    folder: pathlib.Path,
) -> dict[str, Found]:
    """Among the training images' features; with `flip`, of the mirrored samples and test images too.

    To mirror these is the same as to mirror the training images, and they are fewer.
    """
    known = np.concatenate(list(exact.values()))
    best = None
    for number, change in enumerate((np.asarray, variants.mirrored)[: 1 + flip]):
        rows = [
            points[name]
            if number == 0 and name in points
            else feature_networks.extract(network, change(images), folder)
            for name, images in queries.items()
        ]
        near = memorization.nearest(np.concatenate(rows), train)
        best = closer(best, Found(near, np.full(len(known), number), known))
    return split(best, queries)


def closer(best: Found | None, found: Found) -> Found:
    """Of each image the nearer one of two; an exact copy before any other."""
    if best is None:
        return found
    nearer = (found.near.distance < best.near.distance) & (found.exact >= best.exact)
    near = (np.where(nearer, *pair) for pair in zip(found.near, best.near, strict=True))
    variant = np.where(nearer, found.variant, best.variant)
    return Found(memorization.Nearest(*near), variant, found.exact | best.exact)


def split(found: Found | None, queries: Mapping[str, np.ndarray]) -> dict[str, Found]:
    if found is None:
        raise ValueError("nothing was searched")
    ends = np.cumsum([len(images) for images in queries.values()]).tolist()
    starts = [0, *ends]
    return {
        name: found.part(slice(*ends_of))
        for name, *ends_of in zip(queries, starts, ends, strict=False)
    }


def as_floats(images: Pixels) -> Features:
    return images.reshape(len(images), -1) / np.float32(255)


def copy_fields(ours: Found, real: Sequence[Found]) -> dict[str, Any]:
    """Against each set of real images; what is said is of the one that explains the most."""
    tests = [
        memorization.copy_test(
            ours.near.distance, other.near.distance, exact=ours.exact, exact_real=other.exact
        )
        for other in real
    ]
    found = max(tests, key=lambda test: test.near_p_value)
    test_images = real[0]
    return {
        "share": found.share,
        "expected_share": found.expected_share,
        "threshold": found.threshold,
        "p_value": found.near_p_value,
        "exact": int(np.sum(ours.exact)),
        "exact_of_test": int(np.sum(test_images.exact)),
        "exact_p_value": max(test.exact_p_value for test in tests),
        "median_distance": float(np.median(ours.near.distance)),
        "median_distance_of_test": float(np.median(test_images.near.distance)),
    }


def together(*p_values: float) -> float:
    """One p-value of several tests (Bonferroni): valid however they depend on each other."""
    return min(1.0, len(p_values) * min(p_values))


def in_words(memory: Mapping[str, Any], num: int) -> list[str]:
    """For the line that an evaluation prints."""
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


def duplicates(points: Sets) -> dict[str, Any]:
    """How near the samples come to each other, beside the floor's real images."""
    within, real = (memorization.nearest_within(p) for p in (points.synthetic, points.floor))
    near = np.quantile(real.distance, 0.01)
    return {
        "duplicates": int(np.sum(within.distance == 0)),
        "near_duplicates_share": float(np.mean(within.distance < near)),
        "near_duplicates_share_of_real": float(np.mean(real.distance < near)),
    }


def draw_pairs(
    figures: pathlib.Path,
    space: str,
    found: Found,
    images: Sets,
    sought: Sequence[variants.Variant],
) -> None:
    """Training images as the variant that was found shows them."""
    ours, theirs = memorization.closest_pairs(found.near, CLOSEST_PAIRS)
    changes = [s.change for s in sought] if space == "pixels" else [np.asarray, variants.mirrored]
    shown = [
        changes[number](images.train[index : index + 1])[0]
        for number, index in zip(found.variant[ours], theirs, strict=True)
    ]
    pair = np.stack([images.synthetic[ours], np.stack(shown)])
    labels = [f"{distance:#.3g}" for distance in found.near.distance[ours]]
    title = f"The {len(ours)} closest pairs, by distance in {space}"
    picture = pictures.strip(
        pair, labels, row_labels=["synthetic", "nearest training image"], title=title
    )
    if devices.is_writer():
        pictures.save(
            figures / ("closest.png" if space == "pixels" else "closest-features.png"), picture
        )


def draw_nearest(path: pathlib.Path, space: str, curves: Mapping[str, np.ndarray]) -> None:
    """Which share of images has a training image nearer than so much."""
    drawn = {
        name: plots.Curve(np.sort(far), np.arange(1, len(far) + 1) / len(far) * 100)
        for name, far in curves.items()
    }
    figure = plots.lines(
        drawn,
        x_label=f"distance to the nearest training image, in {space}",
        y_label="images nearer than that (%)",
    )
    if devices.is_writer():
        plots.save(path.with_stem(path.stem + ("" if space == "pixels" else "-features")), figure)
