"""Whether a classifier can tell two sets apart: the two-sample test of the nearest neighbor."""

import numpy as np
from jaxtyping import Float

from ddpm_jax.evaluation import memorization


def nearest_neighbor_accuracy(
    features: Float[np.ndarray, "N D"], reference: Float[np.ndarray, "M D"]
) -> float:
    """Share of images whose nearest other image is of their own set: 0.5 for equal distributions.

    Leave-one-out accuracy of the classifier that Lopez-Paz & Oquab 2017 (sec. 3) test with; 1 where the
    sets lie apart, below 0.5 where one copies the other. It is the mean of the two sets' shares, so that
    sets of different sizes have 0.5 too. Equal distances count half.
    """
    shares = []
    for ours, others in ((features, reference), (reference, features)):
        within = memorization.nearest_within(ours).distance
        between = memorization.nearest(ours, others).distance
        shares.append(np.mean(within < between) + np.mean(within == between) / 2)
    return float(np.mean(shares))
