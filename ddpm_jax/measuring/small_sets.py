"""--mode=own: what classifiers of small sets learned from each arm, as rows; and the choice of settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ddpm_jax.evaluation import worth

REAL, AUGMENTED = "real", "real, augmented"

Settings = dict[str, Any]
"""Fields of the classifier section, by name."""
Accuracies = Mapping[str, Float[np.ndarray, " S"]]
"""By arm, the accuracy of each small set: the mean over its classifiers."""


def choose(
    start: Settings,
    values: Mapping[str, Sequence[Any]],
    accuracy: Callable[[Settings], float],
) -> tuple[Settings, list[dict[str, Any]]]:
    """The best settings of a search over one field after another, and all that were tried.

    `accuracy` is asked once for each setting. Of equals the first is kept, and `start` comes first.
    """
    tried: list[dict[str, Any]] = []

    def ask(settings: Settings) -> float:
        for one in tried:
            if one["settings"] == settings:
                return one["accuracy"]
        tried.append({"settings": settings, "accuracy": accuracy(settings)})
        return tried[-1]["accuracy"]

    best, highest = start, ask(start)
    for name, several in values.items():
        for value in several:
            settings = best | {name: value}
            if ask(settings) > highest:
                best, highest = settings, ask(settings)
    return best, tried


def pooled_accuracy(results: Sequence[Mapping[str, Any]], arm: str) -> float:
    """Share of all held-out images that the arm's classifiers got right, over several --mode=classify."""
    counts = np.sum([result["arms"][arm]["confusion"] for result in results], axis=0)
    return float(np.trace(counts) / counts.sum())


def accuracies(results: Sequence[Mapping[str, Any]], arm: str) -> Float[np.ndarray, " S"]:
    """Accuracy of each small set, from the results of --mode=classify."""
    return np.array([np.mean(result["arms"][arm]["accuracies"]) for result in results])


def images_per_class(results: Sequence[Mapping[str, Any]], num_classes: int) -> int:
    """Real images of a class in the small sets; classes may differ where all images are used: the mean."""
    return round(results[0]["arms"][REAL]["n_train"] / num_classes)


def num_synthetic(results: Sequence[Mapping[str, Any]], arm: str) -> int:
    """Synthetic images that the arm added, after any selection: the mean over the sets."""
    return round(float(np.mean([result["arms"][arm]["n_synthetic"] for result in results])))


def step(results: Sequence[Mapping[str, Any]]) -> float:
    """What the `accuracies` of these results are multiples of: 1 / (test images x classifiers of a set)."""
    classifiers = next(iter(results[0]["arms"].values()))["accuracies"]
    return 1 / (results[0]["n_test"] * len(classifiers))


def rows(several: Accuracies, step: float) -> list[dict[str, Any]]:
    """A row for each arm: 95 % t-intervals over small sets; gains are paired by set.

    `step` is what the accuracies are multiples of.
    """
    found = []
    for arm, values in several.items():
        mean, half_width = worth.mean_interval(values, step)
        row = {
            "arm": arm,
            "accuracy": mean,
            "ci95": half_width,
            "accuracies": values,
        }
        for name, baseline in (("real", REAL), ("augmented", AUGMENTED)):
            if arm != baseline and baseline in several:
                gain, width = worth.paired_difference(values, several[baseline], step)
                row |= {f"gain_over_{name}": gain, f"gain_over_{name}_ci95": width}
        found.append(row)
    return found
