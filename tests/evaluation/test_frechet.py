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
    a = frechet.Moments(np.zeros(5), np.diag(first) @ axes.T, 10)
    b = frechet.Moments(np.full(5, 0.5), np.diag(second) @ axes.T, 10)
    expected = 5 * 0.25 + np.sum((first - second) ** 2)
    assert frechet.distance(a, b) == pytest.approx(expected, rel=1e-13)


def test_is_zero_to_itself_symmetric_and_sound_without_full_rank():
    a, b = correlated(20, 64, 0), correlated(30, 64, 1)
    assert distance(a, a) == pytest.approx(0, abs=1e-11)
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12)
    assert distance(a, b) > 0


@pytest.mark.parametrize("count", [8, 500])  # fewer than features, and more
def test_features_that_lie_in_a_subspace_keep_all_their_digits(count):
    # The distance does not change when the features are rotated into a larger space, where their
    # covariance has no full rank. Expected: that of the same features before, which has.
    axes, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))
    a, b = correlated(count, 6, 0), correlated(count + 3, 6, 1, shift=0.1)
    assert distance(a @ axes[:6], b @ axes[:6]) == pytest.approx(distance(a, b), rel=1e-12)


def test_sets_without_a_common_direction_do_not_overlap():
    # tr (cov_a cov_b)^1/2 = 0: the distance is that of the means and the two variances.
    axes, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 24)))
    a, b = correlated(100, 10, 0) @ axes[:10], correlated(80, 10, 1) @ axes[10:20]
    variance = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum()
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + variance
    assert distance(a, b) == pytest.approx(expected, rel=1e-13)


def test_float32_features_are_summed_in_float64():
    a = correlated(2000, 8, 0, shift=1000).astype(np.float32)
    exact = frechet.moments(a.astype(np.float64))
    np.testing.assert_array_equal(frechet.moments(a).factor, exact.factor)
    assert frechet.moments(a).num_images == 2000


@pytest.mark.parametrize(("count", "dims"), [(6, 30), (300, 30), (9000, 2)])
def test_moments_are_those_of_numpy_whole_and_merged(count, dims):
    features = correlated(count, dims, 0, shift=3.0)
    whole = frechet.moments(features)
    cut = count // 3
    merged = frechet.merge(frechet.moments(features[:cut]), frechet.moments(features[cut:]))
    covariance = np.cov(features, rowvar=False)
    for found in (whole, merged):
        np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9, atol=1e-12)
        assert found.num_images == count and len(found.factor) <= dims


def simulated(count, dims, draw, shift=0.0):
    """Standard deviations fall from 1 to 1 / sqrt(dims), as spectra of features do."""
    return draw.normal(size=(count, dims)) / np.sqrt(np.arange(1, dims + 1)) + shift


def extrapolations(dims, count, of_reference, shift, repeats):
    """Errors of the distance as measured and of the extrapolated one, for `repeats` pairs of sets."""
    errors = []
    for seed in range(repeats):
        draw = np.random.default_rng(seed)
        a, b = simulated(count, dims, draw, shift), simulated(of_reference, dims, draw)
        line = frechet.extrapolate(a, b, seed=seed)
        errors.append(np.array([line.distances[0], line.at_infinity]) - dims * shift**2)
    return np.array(errors).T


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_extrapolation_removes_the_bias_of_both_sets(shift):
    # Closed form: equal covariances and means `shift` apart in every feature, dims * shift^2.
    plain, corrected = extrapolations(16, 256, 128, shift, repeats=30)
    error_of_mean = corrected.std(ddof=1) / 30**0.5
    assert abs(corrected.mean()) < 3 * error_of_mean + 0.03 * plain.mean()
    assert plain.mean() > 3 * plain.std(ddof=1) / 30**0.5


def test_extrapolation_gives_its_parts():
    a, b = correlated(600, 16, 0), correlated(201, 16, 1)
    line = frechet.extrapolate(a, b)
    assert line.sizes.tolist() == [200, 100, 50]
    assert np.all(np.diff(line.distances) > 0)
    halves = frechet.extrapolate(a[:127], b[:126])  # quarters have less than two images a feature
    assert halves.sizes.tolist() == [126, 63]
    expected = 2 * halves.distances[0] - halves.distances[1]
    assert halves.at_infinity == pytest.approx(expected, rel=1e-12)
    whole = frechet.extrapolate(a[:200], b[:200])
    assert whole.distances[0] == pytest.approx(distance(a[:200], b[:200]), rel=1e-12)


@pytest.mark.slow
def test_extrapolation_of_simulated_features_is_unbiased(record_property):
    lines = ["features n reference true: as measured, without bias (mean error +- spread)"]
    for dims, count, of_reference in (
        (64, 256, 256), (64, 1280, 1280), (64, 512, 1536), (128, 512, 512), (128, 1024, 1024),
    ):  # fmt: skip
        for shift in (0.0, 0.1):
            plain, corrected = extrapolations(dims, count, of_reference, shift, repeats=20)
            lines.append(
                f"{dims} {count} {of_reference} {dims * shift**2:.2f}: "
                f"{plain.mean():.4f} +- {plain.std(ddof=1):.4f}, "
                f"{corrected.mean():+.4f} +- {corrected.std(ddof=1):.4f}"
            )
            error_of_mean = corrected.std(ddof=1) / 20**0.5
            assert abs(corrected.mean()) < 3 * error_of_mean + 0.03 * plain.mean(), lines[-1]
            if shift == 0:
                assert corrected.std(ddof=1) < 0.12 * plain.mean(), lines[-1]
    record_property("counted", "\n".join(lines))


@pytest.mark.parametrize(("count", "of_reference"), [(255, 256), (256, 255)])
def test_extrapolation_needs_four_images_a_feature_in_both_sets(count, of_reference):
    with pytest.raises(ValueError, match="64 features needs 256 images, got 255"):
        frechet.extrapolate(correlated(count, 64, 0), correlated(of_reference, 64, 0))


def test_what_has_no_moments_is_refused():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        frechet.moments(np.zeros((1, 3)))
    features = np.zeros((5, 3))
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match="image 3 are not finite"):
        frechet.moments(features)
    with pytest.raises(ValueError, match="got 3 features and 4"):
        distance(correlated(9, 3, 0), correlated(9, 4, 0))
