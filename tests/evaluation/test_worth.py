"""Expected values: by hand, from textbook tables, from scikit-learn, or by counting coverage."""

import numpy as np
import pytest
from sklearn import metrics

from ddpm_jax.evaluation import worth


def test_mean_interval_of_five_values_by_hand():
    # Standard deviation sqrt(2.5), Student's 0.975 quantile for 4 degrees of freedom is 2.776445.
    mean, half_width = worth.mean_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.0)
    assert mean == 3.0
    assert half_width == pytest.approx(2.776445 * np.sqrt(2.5 / 5), rel=1e-6)


def test_the_mean_interval_covers_the_truth_in_95_of_100_cases():
    values = np.random.default_rng(0).normal(0.9, 0.02, (2000, 5))
    intervals = [worth.mean_interval(row, 0.0) for row in values]
    covered = [abs(mean - 0.9) <= half for mean, half in intervals]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


def test_a_pair_cancels_what_its_seeds_share():
    shared = np.array([0.90, 0.80, 0.85, 0.95, 0.70])
    mean, half_width = worth.paired_difference(shared + 0.01, shared, 0.0)
    assert mean == pytest.approx(0.01)
    assert half_width == pytest.approx(0, abs=1e-12)
    assert worth.mean_interval(shared, 0.0)[1] > 0.1


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        worth.mean_interval(np.array([0.9]), 0.0)


def test_confusion_and_per_class_accuracy_agree_with_scikit_learn():
    draw = np.random.default_rng(0)
    labels, predictions = draw.integers(0, 7, (2, 500))
    counts = worth.confusion(labels, predictions, 7)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(labels, predictions))
    recall = metrics.recall_score(labels, predictions, average=None)
    np.testing.assert_allclose(worth.per_class_accuracy(counts), recall)


def test_a_class_without_test_images_has_no_accuracy():
    counts = worth.confusion(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    np.testing.assert_array_equal(worth.per_class_accuracy(counts), [0.5, np.nan, 1.0])


@pytest.mark.parametrize(("labels", "predictions"), [([0, 3], [0, 1]), ([0, 1], [-1, 1])])
def test_classes_out_of_range_are_refused(labels, predictions):
    with pytest.raises(ValueError, match=r"wanted 0\.\.2"):
        worth.confusion(np.array(labels), np.array(predictions), 3)


def test_calibration_error_by_hand():
    # One bin holds 0.95 twice (one right), another 0.65 twice (both right):
    # (|1 - 1.9| + |2 - 1.3|) / 4.
    first = np.array([0.95, 0.95, 0.65, 0.65])
    probabilities = np.stack([first, 1 - first], axis=1)
    error = worth.calibration_error(probabilities, np.array([0, 1, 0, 0]), num_bins=10)
    assert error == pytest.approx(1.6 / 4)


def test_calibration_error_vanishes_for_a_calibrated_classifier_and_certainty_fits_a_bin():
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.5, 1, 200_000)
    labels = (draw.uniform(size=200_000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert worth.calibration_error(probabilities, labels) < 0.005
    certain = np.eye(2)[[0, 1, 1]]
    assert worth.calibration_error(certain, np.array([0, 1, 0])) == pytest.approx(1 / 3)


def test_accuracy_is_the_share_on_the_diagonal_of_each_matrix():
    counts = np.array([[[3, 1], [0, 4]], [[0, 2], [2, 0]]])
    np.testing.assert_allclose(worth.accuracy(counts), [7 / 8, 0.0])


def test_seeds_that_agree_to_the_image_are_not_without_error():
    """Two accuracies on 359 images; t at 0.975 of one degree of freedom is 12.706."""
    agreed = np.array([300, 300]) / 359
    mean, half_width = worth.mean_interval(agreed, 1 / 359)
    assert mean == pytest.approx(300 / 359)
    assert half_width == pytest.approx(12.706 / 359 / np.sqrt(12) / np.sqrt(2), rel=1e-4)
    # Differences of two rounded numbers: twice the variance.
    _, of_difference = worth.paired_difference(agreed, agreed - 7 / 359, 1 / 359)
    assert of_difference == pytest.approx(np.sqrt(2) * half_width)


def test_seeds_that_differ_by_more_than_rounding_are_as_without_a_step():
    values = np.array([300, 303, 309]) / 359
    assert worth.mean_interval(values, 1 / 359) == worth.mean_interval(values, 0.0)
