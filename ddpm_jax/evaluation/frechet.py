"""Frechet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017).

On the features of Inception-2015 this is FID; on any others it is not, and is named after them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg


class Moments(NamedTuple):
    """All that the distance needs of a set of features."""

    mean: Float[np.ndarray, "D"]
    covariance: Float[np.ndarray, "D D"]
    num_images: int


class Extrapolation(NamedTuple):
    """The distance at several sample sizes, and where the line over 1 / size meets infinity."""

    at_infinity: float
    sizes: Int[np.ndarray, "P"]
    distances: Float[np.ndarray, "P"]


def moments(features: Float[np.ndarray, "N D"]) -> Moments:
    """Mean and unbiased covariance, in float64."""
    features = np.asarray(features, np.float64)
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 images, got {len(features)}")
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features).all(axis=1)).argmax())
        raise ValueError(f"the features of image {bad} are not finite")
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    return Moments(features.mean(axis=0), covariance, len(features))


def distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^1/2).

    The eigenvalues of cov_a cov_b are those of the symmetric cov_a^1/2 cov_b cov_a^1/2, which needs
    no general matrix root: that one turns complex, or fails, on covariances without full rank.
    """
    return _distance(a, b, _root(b.covariance))


def extrapolate(
    features: Float[np.ndarray, "N D"], reference: Moments, *, num_sizes: int = 15, seed: int = 0
) -> Extrapolation:
    """The distance without the bias of few samples (Chong & Forsyth 2020, section 3).

    The bias is linear in 1 / size, so distances of subsets from a tenth of the set to the whole
    are extended to infinity. Subsets are also kept above twice the number of features: below, the
    covariance has no full rank and the line bends. The bias of the reference set remains.
    """
    count, dims = features.shape
    smallest = max(count // 10, 2 * dims)
    if count < 2 * smallest:
        raise ValueError(f"extrapolating {dims} features needs {4 * dims} images, got {count}")
    draw = np.random.default_rng(seed)
    root = _root(reference.covariance)
    sizes = np.linspace(smallest, count, num_sizes).astype(int)
    distances = np.array(
        [
            _distance(moments(features[draw.permutation(count)[:size]]), reference, root)
            for size in sizes
        ]
    )
    _slope, at_infinity = np.polyfit(1 / sizes, distances, 1)
    return Extrapolation(float(at_infinity), sizes, distances)


def _distance(a: Moments, b: Moments, root_b: Float[np.ndarray, "D D"]) -> float:
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"got {len(a.mean)} features and {len(b.mean)} in the other set")
    inner = root_b @ a.covariance @ root_b
    eigenvalues = linalg.eigvalsh((inner + inner.T) / 2)
    # Round-off leaves tiny negative values where the rank is not full; they are zeros.
    overlap = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return float(np.sum((a.mean - b.mean) ** 2) + spread)


def _root(covariance: Float[np.ndarray, "D D"]) -> Float[np.ndarray, "D D"]:
    values, vectors = linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
