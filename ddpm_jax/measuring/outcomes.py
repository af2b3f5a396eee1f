"""Test results of trained classifiers, summarized by arm."""

from typing import Any

import numpy as np

from ddpm_jax.evaluation import worth


def summarize(
    outcomes: list[dict[str, Any]], baseline: list[dict[str, Any]] | None, n_train: int
) -> dict[str, Any]:
    """Means and 95 % t-intervals over seeds; the gain over real is paired by seed.

    Without a baseline, there is no gain.
    """
    accuracies = accuracies_of(outcomes)
    step = 1 / np.sum(outcomes[0]["confusion"])
    mean, half_width = worth.mean_interval(accuracies, step)
    gains = {}
    if baseline:
        gain, gain_half_width = worth.paired_difference(accuracies, accuracies_of(baseline), step)
        gains = {"gain_over_real": gain, "gain_ci95": gain_half_width}
    counts = np.sum([outcome["confusion"] for outcome in outcomes], axis=0)
    return {
        "accuracy": mean,
        "ci95": half_width,
        "seeds": len(outcomes),
        "n_train": n_train,
        "accuracies": accuracies,
        **gains,
        "per_class_accuracy": worth.per_class_accuracy(counts),
        "confusion": counts,
        "calibration_error": float(np.mean([o["calibration_error"] for o in outcomes])),
    }


def accuracies_of(outcomes: list[dict[str, Any]]) -> np.ndarray:
    """Accuracy of each classifier."""
    return worth.accuracy(np.array([outcome["confusion"] for outcome in outcomes]))
