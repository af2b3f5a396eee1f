"""Rates that are counted over simulated draws.

`DDPM_JAX_DRAWS` is the share of each simulation's draws that are made (1, and in CI less). The fewer there
are, the further a count may lie from its range by chance, so the check allows for that.
"""

import os

from scipy import stats

UNLIKELY = 1e-3


def num_draws(whole):
    """How many of a simulation's draws are made."""
    return max(1, round(whole * float(os.environ.get("DDPM_JAX_DRAWS", "1"))))


def agrees(count, num, whole, low, high):
    """Whether `count` of `num` draws lie in the range of rates, `whole` being all of the simulation's draws.

    Of all draws, the share itself has to lie in it; of fewer, the count must not be improbable at both ends.
    """
    if num >= whole:
        return low <= count / num <= high
    above = stats.binom.sf(count - 1, num, high)  # the probability of as many or more
    below = stats.binom.cdf(count, num, low)
    return bool(above > UNLIKELY and below > UNLIKELY)
