"""Frechet distance between two sets of features, each treated as a Gaussian (Heusel et al. 2017).

On the features of Inception-2015 this is FID; on any others it is not, and is named after them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

FULL_RANK = (
    2  # images per feature; below, covariances lose rank and the bias is not linear in 1 / size
)
ROWS = 4096  # images converted to float64 at a time, at least


class Moments(NamedTuple):
    """All that the distance needs of a set of features; the covariance is factor^T factor."""

    mean: Float[np.ndarray, " D"]
    factor: Float[np.ndarray, "R D"]
    num_images: int

    @property
    def covariance(self) -> Float[np.ndarray, "D D"]:
        return self.factor.T @ self.factor


class Extrapolation(NamedTuple):
    """Mean distances between equally large parts of both sets, and their line extended to infinite size."""

    at_infinity: float
    sizes: Int[np.ndarray, " P"]
    distances: Float[np.ndarray, " P"]


def moments(features: Float[np.ndarray, "N D"]) -> Moments:
    """Mean, and a factor of the unbiased covariance with at most D rows, in float64."""
    count, dims = features.shape
    if count < 2:
        raise ValueError(f"a covariance needs at least 2 images, got {count}")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f"the features of image {int((~finite).argmax())} are not finite")
    mean = features.mean(axis=0, dtype=np.float64)
    factor = np.zeros((0, dims))
    step = max(ROWS, 4 * dims)
    for start in range(0, count, step):
        centered = features[start : start + step].astype(np.float64) - mean
        factor = _reduced(np.concatenate([factor, centered]))
    return Moments(mean, factor / np.sqrt(count - 1), count)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the two sets together (Chan et al. 1979, equations 2.1)."""
    count = a.num_images + b.num_images
    gap = b.mean - a.mean
    between = np.sqrt(a.num_images * b.num_images / count) * gap
    rows = [a.factor * np.sqrt(a.num_images - 1), b.factor * np.sqrt(b.num_images - 1)]
    factor = _reduced(np.concatenate([*rows, between[None]]))
    mean = a.mean + gap * (b.num_images / count)
    return Moments(mean, factor / np.sqrt(count - 1), count)


def distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^1/2).

    With cov_a = A^T A and cov_b = B^T B the eigenvalues of cov_a cov_b are the squared singular values
    of A B^T, so the last trace is their sum. This takes no root of an eigenvalue: the root of one that
    is zero up to round-off would be wrong in half of its digits.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"got {len(a.mean)} features and {len(b.mean)} in the other set")
    overlap = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    spread = np.sum(a.factor**2) + np.sum(b.factor**2) - 2 * overlap
    return float(np.sum((a.mean - b.mean) ** 2) + spread)


def extrapolate(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"], *, seed: int = 0
) -> Extrapolation:
    """The distance without the bias of few images, in either set.

    The bias is a / N + b / M and terms of higher order (Chong & Forsyth 2020, section 3, for N alone).
    Both sets are cut at random into disjoint parts of one size s, since equal sizes make those terms
    smallest (for one distribution they were found to grow as (1 / N - 1 / M)^2). A line is fitted to the
    mean distance between parts over 1 / s, and extended to 1 / s = 0. s is the size of the smaller set,
    half of it, and a quarter if that keeps two images per feature; up to four times as many images of a
    larger set are used. Raises ValueError if halves keep fewer than two images per feature.
    """
    dims = features.shape[1]
    smaller = min(len(features), len(reference))
    needed = smallest_set(dims)
    if smaller < needed:
        raise ValueError(f"extrapolating {dims} features needs {needed} images, got {smaller}")
    finest = 4 if smaller >= 4 * FULL_RANK * dims else 2
    draw = np.random.default_rng(seed)
    first, second = (
        _parts(found, smaller // finest, finest, draw) for found in (features, reference)
    )
    sizes, values = [first[0].num_images], [_mean_distance(first, second)]
    while min(len(first), len(second)) > 1:
        first, second = _merged(first), _merged(second)
        sizes.append(first[0].num_images)
        values.append(_mean_distance(first, second))
    at, distances = np.array(sizes[::-1]), np.array(values[::-1])
    # Distances of smaller parts vary more, about as 1 / size.
    _slope, at_infinity = np.polyfit(1 / at, distances, 1, w=at)
    return Extrapolation(float(at_infinity), at, distances)


def smallest_set(dims: int) -> int:
    """Images that each set needs for `extrapolate` with `dims` features."""
    return 2 * FULL_RANK * dims


def _parts(
    features: Float[np.ndarray, "N D"], size: int, fewest: int, draw: np.random.Generator
) -> list[Moments]:
    """Disjoint random parts: `fewest`, or two, three or four times as many if there are enough images."""
    count = fewest * min(4, len(features) // (fewest * size))
    rows = draw.permutation(len(features))[: count * size].reshape(count, size)
    return [moments(features[part]) for part in rows]


def _merged(parts: list[Moments]) -> list[Moments]:
    return [merge(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _mean_distance(first: list[Moments], second: list[Moments]) -> float:
    """Mean over pairs of one part from each set; every part is in at least one pair."""
    pairs = range(max(len(first), len(second)))
    return float(np.mean([distance(first[i % len(first)], second[i % len(second)]) for i in pairs]))


def _reduced(rows: Float[np.ndarray, "R D"]) -> Float[np.ndarray, "_ D"]:
    """At most D rows with the same scatter, rows^T rows."""
    return rows if len(rows) <= rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"))
