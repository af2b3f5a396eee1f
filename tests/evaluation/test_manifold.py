"""Expected values: double loops over pairs from the papers' definitions, and sets made by hand."""

import numpy as np
import pytest

from ddpm_jax.evaluation import manifold


def gap(x, y):
    return sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) ** 0.5


def radius(points, i, k):
    return sorted(gap(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]


def share_inside(points, centers, k):
    radii = [radius(centers, j, k) for j in range(len(centers))]
    inside = [any(gap(p, c) <= r for c, r in zip(centers, radii, strict=True)) for p in points]
    return sum(inside) / len(inside)


@pytest.fixture
def sets():
    draw = np.random.default_rng(0)
    return draw.normal(0.5, 0.8, (40, 3)) + 50, draw.normal(0, 1, (55, 3)) + 50


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_agree_with_double_loops(sets, k, monkeypatch):
    monkeypatch.setattr(manifold, "CHUNK", 16)
    samples, real = sets
    expected = (share_inside(samples, real, k), share_inside(real, samples, k))
    assert manifold.precision_recall(samples, real, k=k) == pytest.approx(expected, abs=1e-12)


def test_density_and_coverage_agree_with_double_loops(sets):
    samples, real = sets
    radii = [radius(real, j, 5) for j in range(len(real))]
    hits = [[gap(s, c) <= r for c, r in zip(real, radii, strict=True)] for s in samples]
    density = sum(map(sum, hits)) / (5 * len(samples))
    coverage = np.mean([any(column) for column in zip(*hits, strict=True)])
    assert manifold.density_coverage(samples, real) == pytest.approx((density, coverage), abs=1e-12)


def test_equal_distributions_have_density_one():
    samples, real = np.random.default_rng(0).normal(size=(2, 1500, 8))
    density, coverage = manifold.density_coverage(samples, real)
    assert density == pytest.approx(1, abs=0.06)
    assert coverage > 0.94  # 1 - 1 / 2^k for equal sizes: Naeem et al. 2020, eq. 9


def test_dropped_modes_show_in_recall_and_coverage_only():
    draw = np.random.default_rng(0)
    modes = 100 * draw.normal(size=(10, 2))
    real = modes[np.arange(2000) % 10] + draw.normal(size=(2000, 2))
    samples = modes[np.arange(2000) % 7] + draw.normal(size=(2000, 2))
    precision, recall = manifold.precision_recall(samples, real)
    assert recall == pytest.approx(0.7, abs=0.03)
    assert precision > 0.95
    assert manifold.density_coverage(samples, real).coverage == pytest.approx(0.7, abs=0.03)


def test_samples_far_away_have_no_precision_and_no_recall():
    samples, real = np.random.default_rng(0).normal(size=(2, 50, 4))
    assert manifold.precision_recall(samples + 100, real) == (0, 0)
    assert manifold.density_coverage(samples + 100, real) == (0, 0)


@pytest.mark.parametrize("k", [0, 5])
def test_more_neighbors_than_images_are_refused(k):
    points = np.zeros((5, 2))
    with pytest.raises(ValueError, match=f"5 images have no {k} neighbors"):
        manifold.precision_recall(points, points, k=k)
