"""The nearest neighbor's two-sample accuracy, by hand and at its ends."""

import numpy as np
import pytest

from ddpm_jax.evaluation import two_sample


def column(*values):
    return np.array(values, np.float64)[:, None]


def test_accuracy_of_a_few_points_by_hand():
    # 0 has 0.4 next to it, 1 has 0.4, 10 has 10.5; 0.4 has 0, 10.5 has 10, 20 has 10.5: right.
    accuracy = two_sample.nearest_neighbor_accuracy
    assert accuracy(column(0, 1, 10), column(0.4, 10.5, 20)) == pytest.approx((0 + 1 / 3) / 2)
    # Sets apart; then a tie that counts half, 3 being as far from 2 as from 4, and 4 wrong.
    assert accuracy(column(0, 0.1), column(5, 5.1)) == 1
    assert accuracy(column(2, 3), column(4, 9)) == pytest.approx((1 + 0.5 + 0 + 1) / 4)


def test_copies_are_below_one_half():
    features = np.random.default_rng(0).normal(size=(50, 3))
    assert two_sample.nearest_neighbor_accuracy(features, features) == 0


@pytest.mark.parametrize("num", [400, 1200])
def test_equal_distributions_have_one_half_whatever_the_sizes(num):
    draw = np.random.default_rng(1)
    found = [
        two_sample.nearest_neighbor_accuracy(draw.normal(size=(num, 4)), draw.normal(size=(400, 4)))
        for _ in range(10)
    ]
    # Over one pair of sets it spreads by about 0.02, over ten by 0.007.
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)
