"""Does the model copy? Nearest training images, judged by how close real test images come.

A test image was not in the training set, so how near it comes to one is how near a new image may
come by chance. Samples that come much nearer more often than that are copies.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats


class Nearest(NamedTuple):
    """For each image the nearest one of the other set, and how far it is (Euclidean)."""

    indices: Int[np.ndarray, "N"]
    distance: Float[np.ndarray, "N"]


class CopyTest(NamedTuple):
    """`p_value`: how likely at least this many copies are if samples are like new real images."""

    copied: Bool[np.ndarray, "N"]
    share: float
    threshold: float
    expected_share: float
    p_value: float


def nearest(
    images: Float[np.ndarray, "N D"], others: Float[np.ndarray, "M D"], *, chunk: int = 1000
) -> Nearest:
    """The nearest of `others`, for each of `images`: features, or flattened pixels."""
    return _nearest(images, others, chunk, same=False)


def nearest_within(images: Float[np.ndarray, "N D"], *, chunk: int = 1000) -> Nearest:
    """The nearest other image of the same set; distance 0 is an exact duplicate."""
    if len(images) < 2:
        raise ValueError(f"a set of {len(images)} has no nearest other image")
    return _nearest(images, images, chunk, same=True)


def copy_test(
    samples: Float[np.ndarray, "N"], real: Float[np.ndarray, "M"], *, quantile: float = 0.01
) -> CopyTest:
    """Distances sample-to-train against test-to-train: which samples are nearer than the quantile?

    The threshold is the k-th smallest real distance, k = floor(quantile (M + 1)), so that a new
    real image falls below it with probability k / (M + 1) <= quantile, and the count among samples
    that are like real ones is beta-binomial: exact for any M, with the threshold's own uncertainty.
    """
    rank = int(quantile * (len(real) + 1))
    if rank < 1:
        needed = int(np.ceil(1 / quantile)) - 1
        raise ValueError(f"the {quantile:g} quantile needs {needed} real images, got {len(real)}")
    threshold = float(np.partition(real, rank - 1)[rank - 1])
    copied = samples < threshold
    null = stats.betabinom(len(samples), rank, len(real) + 1 - rank)
    p_value = float(null.sf(copied.sum() - 1))
    return CopyTest(copied, float(copied.mean()), threshold, rank / (len(real) + 1), p_value)


def closest_pairs(
    near: Nearest, count: int = 12
) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "P"]]:
    """Indices of the samples nearest to a training image, and of those images; closest first."""
    first = np.argsort(near.distance, kind="stable")[:count]
    return first, near.indices[first]


def _nearest(
    images: Float[np.ndarray, "N D"], others: Float[np.ndarray, "M D"], chunk: int, same: bool
) -> Nearest:
    # The search is in float32, around the mean so as to keep digits: it may confuse two neighbors
    # that are equally far to six digits, never a copy with another image.
    mean = np.asarray(others, np.float64).mean(axis=0)
    search = (others - mean).astype(np.float32)
    length = np.einsum("nd,nd->n", search, search)
    nearest_index = []
    for start in range(0, len(images), chunk):
        rows = (images[start : start + chunk] - mean).astype(np.float32)
        squared = length - 2 * rows @ search.T  # |row|^2 is the same for all of them
        if same:
            squared[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        nearest_index.append(squared.argmin(axis=1))
    index = np.concatenate(nearest_index)
    # Once more from the differences: the expanded square is off by more than a copy's distance.
    pairs = zip(images, others[index], strict=True)
    distance = np.array([np.linalg.norm(np.subtract(a, b, dtype=np.float64)) for a, b in pairs])
    return Nearest(index, distance)
