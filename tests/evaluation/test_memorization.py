"""Planted copies of real digits, a double loop for the neighbors, and draws under the null."""

from math import comb

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ddpm_jax.evaluation import memorization


@pytest.fixture(scope="module")
def digits():
    """Flattened pixels: 1,197 to train on, 600 to test with."""
    pixels = load_digits().data[np.random.default_rng(0).permutation(1797)]
    return pixels[:1197], pixels[1197:]


@pytest.mark.parametrize("chunk", [1000, 7])
def test_nearest_agrees_with_a_double_loop(digits, chunk):
    train, test = digits[0][:60], digits[1][:25]
    gaps = [[np.sqrt(np.sum((a - b) ** 2)) for b in train] for a in test]
    near = memorization.nearest(test, train, chunk=chunk)
    np.testing.assert_array_equal(near.indices, np.argmin(gaps, axis=1))
    np.testing.assert_allclose(near.distance, np.min(gaps, axis=1), rtol=1e-12)


def test_nearest_within_a_set_skips_the_image_itself_and_finds_duplicates(digits):
    images = np.concatenate([digits[1][:30], digits[1][4:5]])
    near = memorization.nearest_within(images, chunk=8)
    assert near.distance[4] == near.distance[30] == 0
    assert (near.indices[4], near.indices[30]) == (30, 4)
    assert (near.indices != np.arange(31)).all()


def test_every_planted_copy_is_found_and_under_1_percent_of_real_test_images(digits):
    train, test = digits
    real = memorization.nearest(test, train).distance
    draw = np.random.default_rng(0)
    copies = train[:100] + draw.normal(0, 0.5, (100, 64))  # pixels go from 0 to 16
    near = memorization.nearest(np.concatenate([copies, test]), train)
    result = memorization.copy_test(near.distance, real)
    assert result.copied[:100].all()
    np.testing.assert_array_equal(near.indices[:100], np.arange(100))
    assert result.copied[100:].mean() < 0.01
    assert result.near_p_value < 1e-6 and result.exact_p_value == 1


def test_real_images_that_did_not_set_the_threshold_raise_few_alarms(digits):
    train, test = digits
    real = memorization.nearest(test, train).distance
    shares, p_values = [], []
    for seed in range(200):
        order = np.random.default_rng(seed).permutation(600)
        result = memorization.copy_test(real[order[:300]], real[order[300:]])
        shares.append(result.share)
        p_values.append(result.near_p_value)
    assert np.mean(shares) < 0.0105
    assert result.expected_share == pytest.approx(3 / 301)
    assert np.mean(np.array(p_values) < 0.05) < 0.09


def test_the_p_value_is_exact_under_the_null():
    draw = np.random.default_rng(0)
    results = [
        memorization.copy_test(draw.exponential(size=500), draw.exponential(size=400))
        for _ in range(1500)
    ]
    p_values = np.array([result.near_p_value for result in results])
    for level in (0.05, 0.2):  # discrete, so at most the level, and not far below it
        assert 0.3 * level < np.mean(p_values <= level) < 1.3 * level


def test_a_model_that_copies_a_twentieth_of_the_time_is_caught(digits):
    train, test = digits
    real = memorization.nearest(test[:300], train).distance
    samples = np.concatenate([train[:15], test[300:585]])
    result = memorization.copy_test(memorization.nearest(samples, train).distance, real)
    assert result.copied[:15].all()
    # Hypergeometric: all 15 equal ones among the 300 of 600 that are samples.
    assert result.exact_p_value == pytest.approx(comb(300, 15) / comb(600, 15), rel=1e-9)


def test_exact_copies_are_caught_where_test_images_have_duplicates_too():
    # The 1 % quantile of the real distances is 0, and nothing is nearer than that.
    real = np.concatenate([np.zeros(10), np.linspace(1, 2, 290)])
    result = memorization.copy_test(np.zeros(300), real)
    assert result.share == 1 and result.exact_p_value < 1e-100
    assert result.threshold > 0  # of the others
    likewise = memorization.copy_test(real, real)
    assert likewise.exact_p_value > 0.5 and likewise.near_p_value > 0.5
    assert likewise.expected_share == pytest.approx(10 / 300 + 290 / 300 * 2 / 291)


def test_near_copies_are_caught_beside_duplicates_and_few_others_give_no_threshold():
    real = np.concatenate([np.zeros(10), np.linspace(1, 2, 290)])
    near = np.concatenate([np.zeros(10), np.full(40, 0.1), np.linspace(1.1, 2, 250)])
    result = memorization.copy_test(near, real)
    assert result.near_p_value < 1e-3 and result.exact_p_value > 0.5
    mostly = np.concatenate([np.zeros(202), np.ones(98)])
    result = memorization.copy_test(near, mostly)
    assert (result.threshold, result.near_p_value) == (0.0, 1.0)
    assert result.copied.sum() == 10


def test_distances_that_equal_the_threshold_raise_no_alarm():
    # All distances are 1 or 2: no sample lies below the quantile, which is 1.
    values = np.tile([1.0, 2.0], 200)
    result = memorization.copy_test(values, values)
    assert result.threshold == 1 and result.near_p_value == 1 and not result.copied.any()


def test_equal_images_are_found_by_their_first_place():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 3, 1), np.uint8)
    others = np.concatenate([images[2:5], images[3:4]])
    assert memorization.equal_to(images, others).tolist() == [-1, -1, 0, 1, 2, -1]


def test_pooled_images_are_means_of_blocks():
    images = np.random.default_rng(0).integers(0, 256, (5, 17, 19, 3), np.uint8)
    found = memorization.pooled(images).reshape(5, 8, 9, 3)
    np.testing.assert_allclose(found[1, 2, 3], images[1, 4:6, 6:8].mean(axis=(0, 1)), rtol=1e-6)
    small = images[:, :5, :4]
    np.testing.assert_array_equal(memorization.pooled(small), small.reshape(5, -1))


def test_closest_pairs_come_closest_first():
    near = memorization.Nearest(np.array([5, 6, 7, 8]), np.array([0.3, 0.1, 0.2, 0.1]))
    samples, train = memorization.closest_pairs(near, count=3)
    assert samples.tolist() == [1, 3, 2]
    assert train.tolist() == [6, 8, 7]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="needs 99 real images, got 98"):
        memorization.copy_test(np.ones(5), np.ones(98))
    with pytest.raises(ValueError, match="no nearest other image"):
        memorization.nearest_within(np.ones((1, 3)))
