"""How much of one set lies within the manifold of the other, taken as balls around its images.

Precision: the share of samples within the real manifold (fidelity). Recall: the share of real
images within the samples' manifold (variety). Density and coverage measure the same two things and
bear outliers better: all their balls are around real images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

CHUNK = 1000


class PrecisionRecall(NamedTuple):
    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is 1 on average for equal sets, and may exceed it; coverage is a share."""

    density: float
    coverage: float


def precision_recall(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"], *, k: int = 3
) -> PrecisionRecall:
    """Balls reach to the k-th neighbor in the same set (Kynkaanniemi et al. 2019, eq. 1 and 2)."""
    features, reference = _centered(features, reference)
    real_radii, radii = radii_squared(reference, k), radii_squared(features, k)
    inside_real = np.concatenate(
        [hit.any(axis=1) for hit in _hits(features, reference, real_radii)]
    )
    inside = np.concatenate([hit.any(axis=1) for hit in _hits(reference, features, radii)])
    return PrecisionRecall(float(inside_real.mean()), float(inside.mean()))


def density_coverage(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"], *, k: int = 5
) -> DensityCoverage:
    """How many real balls hold a sample; the share of real balls that hold any (Naeem et al. 2020)."""
    features, reference = _centered(features, reference)
    real_radii = radii_squared(reference, k)
    count, covered = 0, np.zeros(len(reference), bool)
    for hit in _hits(features, reference, real_radii):
        count += int(hit.sum())
        covered |= hit.any(axis=0)
    return DensityCoverage(count / (k * len(features)), float(covered.mean()))


def radii_squared(points: Float[np.ndarray, "N D"], k: int) -> Float[np.ndarray, " N"]:
    """Squared distance from each point to its k-th nearest other point."""
    if not 1 <= k < len(points):
        raise ValueError(f"{len(points)} images have no {k} neighbors each")
    radii = []
    for start, squared in _distances(points, points):
        rows = np.arange(len(squared))
        squared[rows, start + rows] = np.inf  # no point is its own neighbor
        radii.append(np.partition(squared, k - 1, axis=1)[:, k - 1])
    return np.concatenate(radii)


def _hits(
    points: Float[np.ndarray, "N D"],
    centers: Float[np.ndarray, "M D"],
    radii: Float[np.ndarray, " M"],
) -> Iterator[Bool[np.ndarray, "_ M"]]:
    for _, squared in _distances(points, centers):
        yield squared <= radii


def _distances(
    a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]
) -> Iterator[tuple[int, Float[np.ndarray, "_ M"]]]:
    """Squared distances, some rows at a time: all of them at once would not fit in memory."""
    length = np.einsum("nd,nd->n", b, b)
    for start in range(0, len(a), CHUNK):
        rows = a[start : start + CHUNK]
        own = np.einsum("nd,nd->n", rows, rows)
        yield start, np.maximum(own[:, None] + length - 2 * rows @ b.T, 0)


def _centered(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"]
) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "M D"]]:
    """Subtract the real mean: |a|^2 + |b|^2 - 2ab loses digits far from the origin."""
    mean = np.asarray(reference, np.float64).mean(axis=0)
    return features - mean, reference - mean
