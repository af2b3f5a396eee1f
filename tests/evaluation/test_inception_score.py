"""Known answers: 1 and K at the extremes; and the definition written out with loops."""

import math

import numpy as np
import pytest

from ddpm_jax.evaluation.inception_score import inception_score


def test_certain_and_balanced_predictions_score_the_number_of_classes():
    score = inception_score(np.eye(10)[np.arange(1000) % 10], num_splits=1)
    assert score == (pytest.approx(10), 0, 1)


@pytest.mark.parametrize("row", [np.full(10, 0.1), np.eye(10)[3]])
def test_predictions_that_do_not_depend_on_the_image_score_one(row):
    score = inception_score(np.tile(row, (500, 1)), num_splits=5)
    assert score.mean == pytest.approx(1)
    assert score.deviation == pytest.approx(0, abs=1e-12)


def test_agrees_with_the_definition_written_out():
    probabilities = np.random.default_rng(0).dirichlet(np.full(4, 0.5), 30)
    order = np.random.default_rng(7).permutation(30)
    scores = []
    for part in (order[:10], order[10:20], order[20:]):
        marginal = [sum(probabilities[i][c] for i in part) / 10 for c in range(4)]
        divergence = sum(
            p * math.log(p / m)
            for i in part
            for p, m in zip(probabilities[i], marginal, strict=True)
        )
        scores.append(math.exp(divergence / 10))
    score = inception_score(probabilities, num_splits=3, seed=7)
    assert score.mean == pytest.approx(np.mean(scores), rel=1e-9)
    assert score.deviation == pytest.approx(np.std(scores), rel=1e-9)


def test_a_set_sorted_by_class_is_shuffled_before_it_is_split():
    probabilities = np.eye(10)[np.repeat(np.arange(10), 100)]
    assert inception_score(probabilities, num_splits=10).mean > 9


def test_what_are_not_probabilities_or_splits_is_refused():
    with pytest.raises(ValueError, match="off by 1"):
        inception_score(np.full((10, 2), 1.0))
    for num_splits in (0, 11):
        with pytest.raises(ValueError, match=f"10 images cannot be cut into {num_splits}"):
            inception_score(np.full((10, 2), 0.5), num_splits=num_splits)
