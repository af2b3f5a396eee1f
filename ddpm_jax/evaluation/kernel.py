"""Kernel distance between two sets of features: the squared maximum mean discrepancy.

On the features of Inception-2015 this is KID (Binkowski et al. 2018). Unlike the Frechet distance
it has no bias from few samples: equal distributions average to zero, so it can be negative.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class KernelDistance(NamedTuple):
    value: float
    standard_error: float
    num_blocks: int


def distance(
    features: Float[np.ndarray, "N D"],
    reference: Float[np.ndarray, "M D"],
    *,
    block_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Mean over disjoint random blocks, and its standard error from their spread.

    Disjoint, where it is common to draw subsets with repetition: only blocks that share no image
    are independent, and only then is the spread over them an error.
    """
    smaller = min(len(features), len(reference))
    if smaller < 4:
        raise ValueError(f"the kernel distance needs at least 4 images a set, got {smaller}")
    num_blocks = max(2, smaller // block_size)
    blocks = zip(
        _blocks(features, num_blocks, seed), _blocks(reference, num_blocks, seed + 1), strict=True
    )
    values = np.array([unbiased(a, b) for a, b in blocks])
    error = values.std(ddof=1) / np.sqrt(num_blocks)
    return KernelDistance(float(values.mean()), float(error), num_blocks)


def unbiased(a: Float[np.ndarray, "N D"], b: Float[np.ndarray, "M D"]) -> float:
    """Unbiased MMD^2 (Gretton et al. 2012, eq. 3) with the kernel (x.y / D + 1)^3."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def off_diagonal_mean(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    within = off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b))
    return float(within - 2 * kernel(a, b).mean())


def _blocks(
    features: Float[np.ndarray, "N D"], num_blocks: int, seed: int
) -> list[Float[np.ndarray, "_ D"]]:
    # Synthetic sets are often sorted by class: without shuffling, every block would be one class.
    order = np.random.default_rng(seed).permutation(len(features))
    return np.array_split(features[order], num_blocks)
