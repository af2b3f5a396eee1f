"""What a synthetic set is worth to a classifier: statistics of the classification accuracy score.

The score (CAS: Ravuri & Vinyals 2019) is the accuracy on real test images of a classifier trained
on synthetic ones. Every number here comes with an interval over seeds.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats


def require_seeds(field: str, number: int) -> None:
    """Raises ValueError if the field asks for too few trainings for an interval."""
    if number < 2:
        raise ValueError(f"{field} is {number}; an interval needs at least 2")


def mean_interval(values: Float[np.ndarray, " S"], step: float) -> tuple[float, float]:
    """Mean over seeds and the half-width of its 95% t-interval.

    `step` is what the values are multiples of, 1 / n for accuracies on n images, or 0. Two or three seeds can
    agree to the image, so the standard deviation counts as at least that of rounding to a step.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 seeds, got {len(values)}")
    deviation = max(np.std(values, ddof=1), step / np.sqrt(12))
    half_width = stats.t.ppf(0.975, len(values) - 1) * deviation / np.sqrt(len(values))
    return float(values.mean()), float(half_width)


def paired_difference(
    values: Float[np.ndarray, " S"], baseline: Float[np.ndarray, " S"], step: float
) -> tuple[float, float]:
    """Mean of `values - baseline`, seed by seed, and the half-width of its 95% t-interval.

    Pairs cancel what the seeds share (real subset, initialization), so the interval is narrower
    than that of two separate means. If it contains zero, there is no winner. `step` is that of the values
    and of the baseline's, which are both rounded.
    """
    differences = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    return mean_interval(differences, np.sqrt(2) * step)


def confusion(
    labels: Int[np.ndarray, " N"], predictions: Int[np.ndarray, " N"], num_classes: int
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
    """Share of all images that are predicted right, from each `confusion`."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def per_class_accuracy(counts: Int[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
    """Share of each true class that is predicted right, from `confusion`; NaN for an absent class."""
    totals = counts.sum(axis=1)
    return np.where(totals > 0, np.diag(counts) / np.maximum(totals, 1), np.nan)


def calibration_error(
    probabilities: Float[np.ndarray, "N K"], labels: Int[np.ndarray, " N"], num_bins: int = 15
) -> float:
    """Expected calibration error: how far confidence is from accuracy (Guo et al. 2017, eq. 5)."""
    probabilities = np.asarray(probabilities, np.float64)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # Bins are open below, (0, 1/M], ..., as in the paper.
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(labels))
