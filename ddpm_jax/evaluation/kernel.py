"""Kernel distance between two sets of features: the squared maximum mean discrepancy.

On the features of Inception-2015 this is KID (Binkowski et al. 2018). Unlike the Frechet distance
it has no bias from few samples: equal distributions average to zero, so it can be negative.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

BLOCK = 2048  # rows and columns of the kernel matrix in memory at once: 32 MiB


class KernelDistance(NamedTuple):
    """The distance and the ends of its 95 % interval, over draws of the images of both sets.

    The interval of equal distributions misses zero in about 5 % of draws.
    """

    value: float
    low: float
    high: float


class _Within(NamedTuple):
    """The mean kernel over pairs of images of one set, and what the variance needs."""

    mean: float
    witness: Float[np.ndarray, " N"]
    """Mean kernel of each image with all of the set, itself included."""
    biased_mean: float
    squared_covariance: float
    """Squared Hilbert-Schmidt norm of the covariance in the kernel's space, without bias."""


class _Between(NamedTuple):
    mean: float
    rows: Float[np.ndarray, " N"]
    columns: Float[np.ndarray, " M"]
    product: float
    """Hilbert-Schmidt product of the two covariances in the kernel's space, without bias."""


def distance(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"]
) -> KernelDistance:
    """Unbiased MMD^2 of all images (Gretton et al. 2012, eq. 3) with a 95 % interval.

    The kernel is (x.y / D + 1)^3. A distance theta is in the interval where
    (value - theta)^2 <= 1.96^2 (null + slope max(theta, 0)). `null` is the variance where the
    distributions have the same mean embedding (Gretton et al. 2012, sec. 5: 2 |C_x / N + C_y / M|^2 for
    covariances C), estimated without bias by U-centered Gram matrices (Song et al. 2012, eq. 5).
    The first-order variance 4 <d, (C_x / N + C_y / M) d> is quadratic in the difference of means
    d, so it grows in proportion to theta = |d|^2; `slope` is that proportion.

    Needs memory for one block of the kernel matrix only. Raises ValueError below 4 images per set.
    """
    x, y = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    if min(len(x), len(y)) < 4:
        raise ValueError(
            f"the kernel distance needs at least 4 images a set, got {min(len(x), len(y))}"
        )
    of_x, of_y, between = _within(x), _within(y), _between(x, y)
    value = of_x.mean + of_y.mean - 2 * between.mean
    null = 2 * (
        of_x.squared_covariance / (len(x) * (len(x) - 1))
        + of_y.squared_covariance / (len(y) * (len(y) - 1))
        + 2 * between.product / (len(x) * len(y))
    )
    first_order = 4 * (
        np.var(of_x.witness - between.rows, ddof=1) / len(x)
        + np.var(of_y.witness - between.columns, ddof=1) / len(y)
    )
    # The estimate of |d|^2 that `first_order` belongs to; unlike `value` it is positive.
    length = of_x.biased_mean + of_y.biased_mean - 2 * between.mean
    slope = first_order / length if length > 0 else 0.0
    return KernelDistance(value, *_interval(value, max(null, 0.0), slope))


def _interval(value: float, null: float, slope: float) -> tuple[float, float]:
    """The theta with (value - theta)^2 <= z^2 (null + slope max(theta, 0))."""
    z = stats.norm.ppf(0.975)
    reach = z * np.sqrt(null)
    middle = value + z**2 * slope / 2
    root = np.sqrt(max(middle**2 - value**2 + reach**2, 0.0))
    low = middle - root if value > reach else value - reach
    high = middle + root if value >= -reach else value + reach
    return float(low), float(high)


def _within(x: Float[np.ndarray, "N D"]) -> _Within:
    num, sums, squares = len(x), np.zeros(len(x)), 0.0
    for rows in _slices(num):
        for columns in (part for part in _slices(num) if part.start >= rows.start):
            k = _kernel(x[rows], x[columns])
            if rows == columns:
                np.fill_diagonal(k, 0.0)
                squares += np.vdot(k, k)
            else:  # the block stands for its mirror image as well
                sums[columns] += k.sum(axis=0)
                squares += 2 * np.vdot(k, k)
            sums[rows] += k.sum(axis=1)
    itself = (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1) ** 3
    total = sums.sum()
    centered = squares + total**2 / ((num - 1) * (num - 2)) - 2 * np.vdot(sums, sums) / (num - 2)
    return _Within(
        mean=float(total / (num * (num - 1))),
        witness=(sums + itself) / num,
        biased_mean=float((total + itself.sum()) / num**2),
        squared_covariance=float(centered / (num * (num - 3))),
    )


def _between(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"]) -> _Between:
    n, m = len(x), len(y)
    of_x, of_y, squares = np.zeros(n), np.zeros(m), 0.0
    for rows in _slices(n):
        for columns in _slices(m):
            k = _kernel(x[rows], y[columns])
            of_x[rows] += k.sum(axis=1)
            of_y[columns] += k.sum(axis=0)
            squares += np.vdot(k, k)
    total = of_x.sum()
    centered = squares - np.vdot(of_x, of_x) / m - np.vdot(of_y, of_y) / n + total**2 / (n * m)
    return _Between(
        mean=float(total / (n * m)),
        rows=of_x / m,
        columns=of_y / n,
        product=float(centered / ((n - 1) * (m - 1))),
    )


def _kernel(x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "M D"]) -> Float[np.ndarray, "N M"]:
    k = x @ y.T / x.shape[1] + 1
    return k * k * k  # NumPy's general power is ten times as slow


def _slices(num: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, num)) for start in range(0, num, BLOCK)]
