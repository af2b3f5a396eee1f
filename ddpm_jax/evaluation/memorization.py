"""Does the model copy? Nearest training images, judged by how close real test images come.

A test image was not in the training set, so its distance to the nearest training image is how near a
new image may come by chance. It may even equal one, if a data set has duplicates. If samples come much
nearer, more often than test images do, these samples are copies.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy import stats

from ddpm_jax.types import Pixels


class Nearest(NamedTuple):
    """The nearest image of the other set for each image, and its Euclidean distance."""

    indices: Int[np.ndarray, " N"]
    distance: Float[np.ndarray, " N"]


class CopyTest(NamedTuple):
    """Which samples are copies, exact or near, and how likely at least as many are by chance.

    `expected_share` is that of new real images. Both p-values are at most uniform if samples are like
    new real images, the second also given how many are exact copies.
    """

    copied: Bool[np.ndarray, " N"]
    share: float
    expected_share: float
    threshold: float
    exact_p_value: float
    near_p_value: float


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
    samples: Float[np.ndarray, " N"],
    real: Float[np.ndarray, " M"],
    *,
    exact: Bool[np.ndarray, " N"] | None = None,
    exact_real: Bool[np.ndarray, " M"] | None = None,
    quantile: float = 0.01,
) -> CopyTest:
    """Compare distances sample-to-train with test-to-train, for exact and near copies separately.

    Whether exact copies (`exact`, or distance 0) are more frequent among samples than among real images
    is tested by Fisher's exact test, one-sided. Another sample is near if its distance is below the
    k-th smallest of the M' other real ones, k = floor(quantile (M' + 1)). A new real image falls below
    it with probability k / (M' + 1) <= quantile, and the count among samples that are like real ones is
    beta-binomial: exact for any M', with the threshold's own uncertainty. Distances that equal the
    threshold are not counted, so ties make the test conservative. With fewer than 1 / quantile - 1 real
    images that are not exact copies, there is no threshold and no near copy.
    """
    needed = int(np.ceil(1 / quantile)) - 1
    if len(real) < needed:
        raise ValueError(f"the {quantile:g} quantile needs {needed} real images, got {len(real)}")
    exact = samples == 0 if exact is None else exact
    exact_real = real == 0 if exact_real is None else exact_real
    others = np.sort(real[~exact_real])
    rank = int(quantile * (len(others) + 1))
    threshold = float(others[rank - 1]) if rank else 0.0
    near = ~exact & (samples < threshold)
    if rank:
        others_made, beta = int(np.sum(~exact)), len(others) + 1 - rank
        near_p_value = float(stats.betabinom.sf(near.sum() - 1, others_made, rank, beta))
    else:
        near_p_value = 1.0
    equal = exact_real.mean()
    return CopyTest(
        copied=exact | near,
        share=float(np.mean(exact | near)),
        expected_share=float(equal + (1 - equal) * rank / (len(others) + 1)),
        threshold=threshold,
        exact_p_value=more_often(exact, exact_real),
        near_p_value=near_p_value,
    )


def more_often(samples: Bool[np.ndarray, " N"], real: Bool[np.ndarray, " M"]) -> float:
    """p-value of Fisher's exact test: at least as many True among the samples, given all there are."""
    total, true = len(samples) + len(real), int(samples.sum() + real.sum())
    return float(stats.hypergeom.sf(samples.sum() - 1, total, true, len(samples)))


def equal_to(images: Pixels, others: UInt8[np.ndarray, "M H W C"]) -> Int[np.ndarray, " N"]:
    """Index of the first of `others` with the same pixels, for each image; -1 if there is none."""
    wanted = {image.tobytes() for image in images}
    first: dict[bytes, int] = {}
    for index, other in enumerate(others):
        content = other.tobytes()
        if content in wanted:
            first.setdefault(content, index)
    return np.array([first.get(image.tobytes(), -1) for image in images])


def pooled(images: Pixels, side: int = 8) -> Float[np.ndarray, "N D"]:
    """Images averaged over square blocks to about `side` pixels a side, and flattened.

    Images that are near each other stay so, at a small share of the cost of a search. Pixels beyond the
    last whole block at the lower and right edges are dropped.
    """
    num, height, width, channels = images.shape
    block = max(1, min(height, width) // side)
    rows, columns = height // block, width // block
    whole = images[:, : rows * block, : columns * block].astype(np.float32)
    blocks = whole.reshape(num, rows, block, columns, block, channels)
    return blocks.mean(axis=(2, 4)).reshape(num, -1)


def closest_pairs(
    near: Nearest, count: int = 12
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Indices of the samples nearest to a training image, and of those images; closest first."""
    first = np.argsort(near.distance, kind="stable")[:count]
    return first, near.indices[first]


def distances(
    images: Shaped[np.ndarray, "N ..."], others: Shaped[np.ndarray, "N ..."]
) -> Float[np.ndarray, " N"]:
    """Euclidean distance from image i to the other set's image i, in float64."""
    pairs = zip(images, others, strict=True)
    return np.array([np.linalg.norm(np.subtract(a, b, dtype=np.float64)) for a, b in pairs])


def nearest_indices(
    images: Float[np.ndarray, "N D"],
    others: Float[np.ndarray, "M D"],
    *,
    chunk: int = 1000,
    same: bool = False,
) -> Int[np.ndarray, " N"]:
    """`nearest` without distances; `same`: both are one set, and no image is its own neighbor.

    The search is in float32, around the mean to keep digits: it may confuse two neighbors whose
    distances agree to six digits.
    """
    # Cast to the dtype of the images, or they would all be converted to float64 at once.
    mean = np.mean(others, axis=0, dtype=np.float64).astype(np.result_type(others, np.float32))
    search = (others - mean).astype(np.float32)
    length = np.einsum("nd,nd->n", search, search)
    found = []
    for start in range(0, len(images), chunk):
        rows = (images[start : start + chunk] - mean).astype(np.float32)
        squared = length - 2 * rows @ search.T  # |row|^2 is the same for all of them
        if same:
            squared[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        found.append(squared.argmin(axis=1))
    return np.concatenate(found)


def _nearest(
    images: Float[np.ndarray, "N D"], others: Float[np.ndarray, "M D"], chunk: int, same: bool
) -> Nearest:
    index = nearest_indices(images, others, chunk=chunk, same=same)
    # Use differences: the error of the expanded square exceeds a copy's distance.
    return Nearest(index, distances(images, others[index]))
