"""What a synthetic set is worth to a classifier: statistics of the classification accuracy score.

The score (CAS: Ravuri & Vinyals 2019) is the accuracy on real test images of a classifier trained
on synthetic ones. Every number here comes with an interval over seeds.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

ROUND_OFF = 1e-12


class Equivalence(NamedTuple):
    """How many real images give the same accuracy, with the ends of a 95% interval.

    0 means fewer than the smallest set that was measured, infinity more than the largest.
    """

    images: float
    low: float
    high: float


def mean_interval(values: Float[np.ndarray, "S"]) -> tuple[float, float]:
    """Mean over seeds and the half-width of its 95% t-interval."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 seeds, got {len(values)}")
    half_width = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(half_width)


def paired_difference(
    values: Float[np.ndarray, "S"], baseline: Float[np.ndarray, "S"]
) -> tuple[float, float]:
    """Mean of `values - baseline`, seed by seed, and the half-width of its 95% t-interval.

    Pairs cancel what the seeds share (real subset, initialization), so the interval is narrower
    than that of two separate means. No winner where it contains zero.
    """
    return mean_interval(np.asarray(values, np.float64) - np.asarray(baseline, np.float64))


def confusion(
    labels: Int[np.ndarray, "N"], predictions: Int[np.ndarray, "N"], num_classes: int
) -> Int[np.ndarray, "K K"]:
    """Counts; rows are true classes, columns the predicted ones."""
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if len(classes) and not 0 <= classes.min() <= classes.max() < num_classes:
            span = f"{classes.min()}..{classes.max()}"
            raise ValueError(f"{name} are in {span}, wanted 0..{num_classes - 1}")
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def accuracy(counts: Int[np.ndarray, "*several K K"]) -> Float[np.ndarray, "*several"]:
    """Share of all images that is predicted right, from each `confusion`."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def per_class_accuracy(counts: Int[np.ndarray, "K K"]) -> Float[np.ndarray, "K"]:
    """Share of each true class that is predicted right, from `confusion`; NaN if absent."""
    totals = counts.sum(axis=1)
    return np.where(totals > 0, np.diag(counts) / np.maximum(totals, 1), np.nan)


def calibration_error(
    probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, "N"], num_bins: int = 15
) -> float:
    """Expected calibration error: how far confidence is from accuracy (Guo et al. 2017, eq. 5)."""
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # Bins are open below, (0, 1/M], ..., as in the paper.
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))


def equivalence(
    num_real: Int[np.ndarray, "M"],
    real_accuracy: Float[np.ndarray, "M S"],
    accuracy: Float[np.ndarray, "S"],
    *,
    num_draws: int = 2000,
) -> Equivalence:
    """Size of the real training set that reaches the same accuracy, read off the real curve.

    The curve through the means over seeds is made monotone (isotonic regression) and interpolated
    over log(num_real). The interval comes from drawing every mean from its t distribution;
    resampling a handful of seeds instead would give intervals that are far too narrow.
    """
    num_real = np.asarray(num_real)
    if len(num_real) < 2 or (np.diff(num_real) <= 0).any():
        raise ValueError(f"sizes of the real sets must increase, got {num_real.tolist()}")
    draw = np.random.default_rng(0)
    curves = _drawn_means(np.asarray(real_accuracy, np.float64), num_draws, draw)
    targets = _drawn_means(np.asarray(accuracy, np.float64)[None], num_draws, draw)[:, 0]
    read = _read_off(num_real, _monotone(curves), targets)
    # Quantiles that are data: between a finite value and infinity there is nothing to interpolate.
    low, high = np.quantile(read[1:], [0.025, 0.975], method="inverted_cdf")
    return Equivalence(float(read[0]), float(low), float(high))


def _drawn_means(
    values: Float[np.ndarray, "M S"], num_draws: int, draw: np.random.Generator
) -> Float[np.ndarray, "draws M"]:
    """The means themselves in row 0, then draws around them."""
    num_seeds = values.shape[1]
    if num_seeds < 2:
        raise ValueError(f"an interval needs at least 2 seeds, got {num_seeds}")
    noise = draw.standard_t(num_seeds - 1, (num_draws, len(values)))
    drawn = values.mean(axis=1) + stats.sem(values, axis=1) * noise
    return np.concatenate([values.mean(axis=1)[None], drawn])


def _monotone(curves: Float[np.ndarray, "R M"]) -> Float[np.ndarray, "R M"]:
    """Isotonic regression of each row: the max over j <= i of the min over k >= i of mean(j..k)."""
    size = curves.shape[1]
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    first, last = np.indices((size, size))
    length = np.maximum(last - first + 1, 1)
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / length
    means = np.where(last >= first, means, np.inf)
    least = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.where(first <= last, least, -np.inf).max(axis=1)


def _read_off(
    num_real: Int[np.ndarray, "M"],
    curves: Float[np.ndarray, "R M"],
    targets: Float[np.ndarray, "R"],
) -> Float[np.ndarray, "R"]:
    """Where each monotone curve reaches its target, between points linear in log(num_real)."""
    rows = np.arange(len(curves))
    below = np.clip((curves <= targets[:, None]).sum(axis=1) - 1, 0, len(num_real) - 2)
    rise = curves[rows, below + 1] - curves[rows, below]
    climbed = targets - curves[rows, below]
    part = np.clip(np.divide(climbed, rise, out=np.ones_like(rise), where=rise > 0), 0, 1)
    size = np.log(num_real)
    read = np.exp(size[below] + part * (size[below + 1] - size[below]))
    # Accuracies can be equal, 100 % say; round-off in the means must not make one the higher.
    read = np.where(targets < curves[:, 0] - ROUND_OFF, 0.0, read)
    return np.where(targets > curves[:, -1] + ROUND_OFF, np.inf, read)
