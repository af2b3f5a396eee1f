"""Whether a model copies its training images: copies are searched for, tested and counted.

The search covers the training images as they are and as the augmentation may have changed them. It
treats real test images in the same way, so that chance finds are as frequent for them as for samples,
whatever the search misses.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ddpm_jax import rundir
from ddpm_jax.data.augment import Sought, Variant, mirrored
from ddpm_jax.evaluation import memorization
from ddpm_jax.evaluation.features import Network
from ddpm_jax.measuring import distances
from ddpm_jax.measuring.distances import Features, Sets
from ddpm_jax.types import Pixels

FEWEST_TO_TEST_COPIES = 99  # so that one of them lies below the 1 % quantile
# The page warns of copies if the p-value is below this, which also bounds the rate of false alarms.
ALARM = 0.001
CLOSEST_PAIRS = 12
Change = Callable[[Pixels], Pixels]


class Found(NamedTuple):
    """The nearest training image of each image, its variant, and whether the pixels are equal."""

    near: memorization.Nearest
    variant: Int[np.ndarray, " N"]
    exact: Bool[np.ndarray, " N"]

    def part(self, rows: slice) -> "Found":
        near = memorization.Nearest(*(values[rows] for values in self.near))
        return Found(near, self.variant[rows], self.exact[rows])


class Closest(NamedTuple):
    """Samples beside their nearest training images, closest first, and the distances of all images."""

    pairs: UInt8[np.ndarray, "2 P H W C"]
    distances: Float[np.ndarray, " P"]
    curves: Mapping[str, Float[np.ndarray, " _"]]


def look_for(
    images: Sets, seen: Sets, network: Network, folder: pathlib.Path, sought: Sought
) -> tuple[dict[str, Any], dict[str, Closest]]:
    """Which samples are nearer to training images than test images are, in pixels and in features?

    Returns the fields of the result, and what to show of each space.
    """
    if len(images.test) < FEWEST_TO_TEST_COPIES:
        why = f"{len(images.test)} test images, {FEWEST_TO_TEST_COPIES} needed"
        return {"copies": None, "why": why}, {}
    asked = queries(images.synthetic, images.test, sought)
    points = {"synthetic": seen.synthetic, "real test": seen.test}
    in_pixels = search(asked, images.train, sought.variants)
    exact = {name: part.exact for name, part in in_pixels.items()}
    in_features = search_features(
        asked, points, exact, seen.train, sought.mirrored, network, folder
    )
    # `duplicates` reads only these two parts.
    parts = {name: as_floats(getattr(images, name)) for name in ("synthetic", "floor")}
    flat = images._replace(**parts)
    fields: dict[str, Any] = {}
    shown = {}
    sides: list[Change] = [np.asarray, mirrored]
    for space, found, points_of, changes in (
        ("pixels", in_pixels, flat, [variant.change for variant in sought.variants]),
        (network.name, in_features, seen, sides),
    ):
        ours, *real = found.values()
        fields[space] = copy_fields(ours, real) | duplicates(points_of)
        curves = {name: part.near.distance for name, part in found.items()}
        shown[space] = Closest(*closest(ours, images, changes), curves)
    pixels, others = fields["pixels"], fields[network.name]
    fields["p_value"] = together(pixels["exact_p_value"], pixels["p_value"], others["p_value"])
    fields["copies"] = fields["p_value"] < ALARM
    fields["looked_for"] = sought.in_words
    fields["num_variants"], fields["mirrored"] = len(sought.variants), sought.mirrored
    return fields, shown


def in_pixels(
    made: Pixels,
    train: UInt8[np.ndarray, "M H W C"],
    test: UInt8[np.ndarray, "K H W C"],
    sought: Sought,
) -> dict[str, Any]:
    """The fields of `copy_fields`, in pixels alone."""
    if len(test) < FEWEST_TO_TEST_COPIES:
        raise rundir.Inapplicable(
            f"copies are found by comparison with at least {FEWEST_TO_TEST_COPIES} test images; there "
            f"are {len(test)}"
        )
    ours, *real = search(queries(made, test, sought), train, sought.variants).values()
    return copy_fields(ours, real)


def queries(
    made: Pixels, test: UInt8[np.ndarray, "K H W C"], sought: Sought
) -> dict[str, np.ndarray]:
    """The images whose nearest training images are looked for."""
    found = {"synthetic": made, "real test": test}
    if sought.augmented_test is not None:
        found["augmented real test"] = sought.augmented_test
    return found


def search(
    queries: Mapping[str, np.ndarray], train: Pixels, sought: Sequence[Variant]
) -> dict[str, Found]:
    """The nearest training images in pixels, among all variants.

    A variant that is not `whole` is searched among images of fewer pixels; the distance to the image
    found is then computed on all pixels.
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
    """The nearest training images in features; with `flip`, also to the mirrored samples and test images.

    Mirroring these is equivalent to mirroring the training images, and they are fewer.
    """
    known = np.concatenate(list(exact.values()))
    best = None
    for number, change in enumerate((np.asarray, mirrored)[: 1 + flip]):
        rows = [
            points[name]
            if number == 0 and name in points
            else distances.extract(network, change(images), folder)
            for name, images in queries.items()
        ]
        near = memorization.nearest(np.concatenate(rows), train)
        best = closer(best, Found(near, np.full(len(known), number), known))
    return split(best, queries)


def closer(best: Found | None, found: Found) -> Found:
    """For each image the nearer of the two finds; an exact copy comes before any other."""
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
    """Tests samples against each set of real images; reports the set that explains the most."""
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
    """One p-value for several tests (Bonferroni), valid however they depend on each other."""
    return min(1.0, len(p_values) * min(p_values))


def duplicates(points: Sets) -> dict[str, Any]:
    """How near samples come to each other, beside the same for the floor's real images.

    The samples are in a random order; the first of them are compared, as many as real ones.
    """
    within, real = (memorization.nearest_within(p) for p in (points.synthetic, points.floor))
    near, as_many = np.quantile(real.distance, 0.01), within
    if len(points.floor) < len(points.synthetic):  # among more images, the nearest one is nearer
        as_many = memorization.nearest_within(points.synthetic[: len(points.floor)])
    return {
        "duplicates": int(np.sum(within.distance == 0)),
        "near_duplicates_share": float(np.mean(as_many.distance < near)),
        "near_duplicates_share_of_real": float(np.mean(real.distance < near)),
    }


def closest(found: Found, images: Sets, changes: Sequence[Change]) -> tuple[np.ndarray, np.ndarray]:
    """The closest pairs; training images are changed as the variant in which they were found."""
    ours, theirs = memorization.closest_pairs(found.near, CLOSEST_PAIRS)
    beside = [
        changes[number](images.train[index : index + 1])[0]
        for number, index in zip(found.variant[ours], theirs, strict=True)
    ]
    return np.stack([images.synthetic[ours], np.stack(beside)]), found.near.distance[ours]
