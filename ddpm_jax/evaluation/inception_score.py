"""Inception Score (Salimans et al. 2016): are images recognizable, and classes equally frequent?

With a classifier other than Inception-2015, scores are comparable only with each other.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import rel_entr


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the splits; 1 at worst, the number of classes at best."""

    mean: float
    deviation: float
    num_splits: int


def inception_score(
    probabilities: Float[np.ndarray, "N K"], *, num_splits: int = 10, seed: int = 0
) -> InceptionScore:
    """exp of the mean KL(p(class | image) || p(class)), in each of `num_splits` shuffled splits."""
    probabilities = np.asarray(probabilities, np.float64)
    if not 1 <= num_splits <= len(probabilities):
        raise ValueError(f"{len(probabilities)} images cannot be cut into {num_splits} splits")
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        worst = np.abs(probabilities.sum(axis=1) - 1).max()
        raise ValueError(f"the probabilities of an image must sum to 1, one is off by {worst:.3g}")
    # A set sorted by class has one class per split, and scores 1 however good it is.
    order = np.random.default_rng(seed).permutation(len(probabilities))
    scores = [_score(split) for split in np.array_split(probabilities[order], num_splits)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), num_splits)


def _score(probabilities: Float[np.ndarray, "N K"]) -> float:
    marginal = probabilities.mean(axis=0)
    return float(np.exp(rel_entr(probabilities, marginal).sum(axis=1).mean()))
