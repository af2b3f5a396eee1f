"""Expected values: the closed form for Gaussians, and pytorch-fid's formula (scipy's sqrtm)."""

import numpy as np
import pytest
from scipy import linalg

from ddpm_jax.evaluation import frechet


def correlated(count, dims, seed, shift=0.0):
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(dims, dims)) / np.sqrt(dims)
    return draw.normal(size=(count, dims)) @ mixing + shift


def sqrtm_formula(a, b):
    """As in pytorch-fid: the matrix root of the product of the covariances."""
    difference = a.mean(0) - b.mean(0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second)
    return difference @ difference + np.trace(first + second - 2 * root.real)


def distance(a, b):
    return frechet.distance(frechet.moments(a), frechet.moments(b))


@pytest.mark.parametrize("dims", [1, 2, 64])
def test_agrees_with_the_formula_of_pytorch_fid(dims):
    a, b = correlated(1000, dims, 0), correlated(800, dims, 1, shift=0.1)
    if dims == 1:
        expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    else:
        expected = sqrtm_formula(a, b)
    assert distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_gaussians_with_commuting_covariances_in_closed_form():
    # |mean difference|^2 + sum of squared differences of standard deviations along shared axes.
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    first, second = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 2, 1, 0, 7])
    a = frechet.Moments(np.zeros(5), axes * first**2 @ axes.T, 10)
    b = frechet.Moments(np.full(5, 0.5), axes * second**2 @ axes.T, 10)
    expected = 5 * 0.25 + np.sum((first - second) ** 2)
    # The zero in the spectrum costs half of the digits: its root is that of the round-off.
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-7)


def test_is_zero_to_itself_symmetric_and_sound_without_full_rank():
    a, b = correlated(20, 64, 0), correlated(30, 64, 1)
    assert distance(a, a) == pytest.approx(0, abs=1e-5)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)
    assert distance(a, b) > 0


def test_float32_features_are_summed_in_float64():
    a = correlated(2000, 8, 0, shift=1000).astype(np.float32)
    exact = frechet.moments(a.astype(np.float64))
    np.testing.assert_array_equal(frechet.moments(a).covariance, exact.covariance)
    assert frechet.moments(a).num_images == 2000


def test_extrapolation_removes_most_of_the_bias_of_few_samples():
    # Equal standard normals: the distance is 0, and every finite sample says more.
    dims = 16
    reference = frechet.Moments(np.zeros(dims), np.eye(dims), 1)
    biased, extrapolated = [], []
    for seed in range(10):
        features = np.random.default_rng(seed).normal(size=(600, dims))
        result = frechet.extrapolate(features, reference, seed=seed)
        assert result.sizes[0] == 60 and result.sizes[-1] == 600
        full = frechet.distance(frechet.moments(features), reference)
        assert result.distances[-1] == pytest.approx(full, rel=1e-9)
        biased.append(result.distances[-1])
        extrapolated.append(result.at_infinity)
    assert abs(np.mean(extrapolated)) < 0.2 * np.mean(biased)


def test_extrapolation_needs_more_images_than_features():
    features = correlated(100, 64, 0)
    with pytest.raises(ValueError, match="64 features needs 256 images, got 100"):
        frechet.extrapolate(features, frechet.moments(features))


def test_what_has_no_moments_is_refused():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        frechet.moments(np.zeros((1, 3)))
    features = np.zeros((5, 3))
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match="image 3 are not finite"):
        frechet.moments(features)
    with pytest.raises(ValueError, match="got 3 features and 4"):
        distance(correlated(9, 3, 0), correlated(9, 4, 0))
