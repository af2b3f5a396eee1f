"""How many real images teach a classifier as much as a synthetic set does.

At each size of the real set, the seeds give pairs: accuracy with real images minus accuracy with the
synthetic set. The answer is the size where the mean difference is zero, and its 95 % interval holds
the sizes where the paired t-test does not reject zero (Fieller's method). Between two measured sizes
the differences of each seed are interpolated, so that the test needs no assumption about how the
noise depends on the size.

A learning curve a - b n^-c bends between two sizes, and c is not known. Its chord in log n (c = 0)
overstates the answer; the chord in 1/n (c = 1) understates it for every c < 1. The answer is read off with
c = 1/2; the ends of the interval allow for c from 0 to 1. Over half a decade the two differ by at
most 18 %. Over wider gaps they differ too much: there the result is a bound, from measured sizes alone.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy import optimize, stats

WIDEST_GAP = 0.51  # decades: half of one, with room for a whole number of images in each class
POINTS_A_GAP = 512
ROUND_OFF = 1e-12
BELOW, ABOVE = -1.0, math.inf


class Equivalence(NamedTuple):
    """Number of real images with the same accuracy, and the ends of its 95 % interval.

    `images` is None where only the ends are known (a bound). `low` is 0 where the smallest real set is not
    shown to be worse, `high` infinity where the largest is not shown to be better.
    """

    images: float | None
    low: float
    high: float


class _Place(NamedTuple):
    """Positions on the real curve: 1.25 is a quarter of the way from size 1 to size 2, counted from 0.

    `BELOW` lies under the first size, `ABOVE` over the last one.
    """

    equal: float
    low: float
    high: float


def equivalence(
    num_real: Num[np.ndarray, " M"],
    real_accuracy: Float[np.ndarray, "M S"],
    accuracy: Float[np.ndarray, " S"],
) -> Equivalence:
    """Size of the real training set that gives the same accuracy; columns are seeds, in pairs.

    Assumes that accuracy does not fall as the real set grows. Raises ValueError if the sizes do not
    increase or there are fewer than two seeds.
    """
    place = _place(num_real, real_accuracy, accuracy)
    sizes = np.asarray(num_real, np.float64)
    low = math.floor(place.low) if _gap(sizes, place.low) > WIDEST_GAP else place.low
    high = math.ceil(place.high) if _gap(sizes, place.high) > WIDEST_GAP else place.high
    ends = _size_at(sizes, low, exponent=1), _size_at(sizes, high, exponent=0)
    if place.equal in (BELOW, ABOVE) or _gap(sizes, place.equal) > WIDEST_GAP:
        return Equivalence(None, *ends)
    images = _size_at(sizes, place.equal, exponent=0.5)
    middles = (_size_at(sizes, position, exponent=0.5) for position in (low, high))
    return Equivalence(images, *map(functools.partial(_end, images), middles, ends))


def _end(images: float, middle: float, outer: float) -> float:
    """An end of the interval, from its size on the middle curve and on the outermost one.

    The error of the interpolation does not depend on the noise, so the two ratios combine as the
    root of their squares.
    """
    if outer in (0.0, math.inf):
        return outer
    away = math.hypot(math.log(middle / images), math.log(outer / middle))
    return images * math.exp(math.copysign(away, math.log(outer / images)))


def wanted_sizes(
    num_real: Num[np.ndarray, " M"],
    real_accuracy: Float[np.ndarray, "M S"],
    accuracy: Float[np.ndarray, " S"],
) -> list[float]:
    """Sizes to measure for a narrower answer, the most useful first; none where gaps are narrow.

    They divide the gap that holds the answer, and those that hold the ends of its interval, into
    parts of at most half a decade. Only the cut nearest to the place is named for each gap.
    """
    sizes = np.asarray(num_real, np.float64)
    wanted = []
    for position in _place(num_real, real_accuracy, accuracy):
        if _gap(sizes, position) <= WIDEST_GAP:
            continue
        low, high = np.log10(sizes[int(position)]), np.log10(sizes[int(position) + 1])
        cuts = np.linspace(low, high, math.ceil((high - low) / WIDEST_GAP) + 1)[1:-1]
        at = low + (position - int(position)) * (high - low)
        wanted.append(float(10 ** cuts[np.abs(cuts - at).argmin()]))
    return list(dict.fromkeys(wanted))


def _place(
    num_real: Num[np.ndarray, " M"],
    real_accuracy: Float[np.ndarray, "M S"],
    accuracy: Float[np.ndarray, " S"],
) -> _Place:
    if len(num_real) < 2 or (np.diff(num_real) <= 0).any():
        raise ValueError(
            f"sizes of the real sets must increase, got {np.asarray(num_real).tolist()}"
        )
    differences = np.asarray(real_accuracy, np.float64) - np.asarray(accuracy, np.float64)
    num_seeds = differences.shape[1]
    if num_seeds < 2:
        raise ValueError(f"an interval needs at least 2 seeds, got {num_seeds}")
    equal = _crossing(optimize.isotonic_regression(differences.mean(axis=1)).x)
    last = len(differences) - 1
    grid = np.linspace(0, last, last * POINTS_A_GAP + 1)
    left = np.minimum(grid.astype(int), last - 1)
    part = (grid - left)[:, None]
    between = (1 - part) * differences[left] + part * differences[left + 1]
    reach = stats.t.ppf(0.975, num_seeds - 1) * stats.sem(between, axis=1) + ROUND_OFF
    worse = grid[(between.mean(axis=1) < -reach) & (grid <= equal)]
    better = grid[(between.mean(axis=1) > reach) & (grid >= equal)]
    step = 1 / POINTS_A_GAP  # from the last size that is rejected to the first that is not
    return _Place(
        equal,
        float(min(worse.max() + step, equal, last)) if len(worse) else BELOW,
        float(max(better.min() - step, equal, 0)) if len(better) else ABOVE,
    )


def _crossing(differences: Float[np.ndarray, " M"]) -> float:
    """Where non-decreasing differences cross zero; the last such place if they touch it."""
    # Accuracies can be equal, such as 100 %; round-off in the means must not make one the higher.
    if differences[0] > ROUND_OFF:
        return BELOW
    if differences[-1] < -ROUND_OFF:
        return ABOVE
    left = min(int((differences <= ROUND_OFF).sum()) - 1, len(differences) - 2)
    rise = differences[left + 1] - differences[left]
    return left + (min(max(-differences[left] / rise, 0.0), 1.0) if rise > 0 else 1.0)


def _gap(sizes: Float[np.ndarray, " M"], position: float) -> float:
    """Decades between the measured sizes around a position; 0 at a measured size and outside."""
    if not 0 <= position < len(sizes) - 1 or position == int(position):
        return 0.0
    return float(np.log10(sizes[int(position) + 1] / sizes[int(position)]))


def _size_at(sizes: Float[np.ndarray, " M"], position: float, *, exponent: float) -> float:
    """Number of images at a position, on a curve linear in n^-exponent, or in log n if `exponent` is 0."""
    if position == BELOW:
        return 0.0
    if position == ABOVE:
        return math.inf
    left = min(int(position), len(sizes) - 2)
    part, (few, many) = position - left, sizes[left : left + 2]
    if part in (0, 1):
        return float(sizes[left + int(part)])
    if exponent == 0:
        return float(few * (many / few) ** part)
    power = (1 - part) * few**-exponent + part * many**-exponent
    return float(power ** (-1 / exponent))
