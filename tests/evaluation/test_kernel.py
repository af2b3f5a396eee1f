"""Expected values: a plain double loop over pairs, and what repeated draws show."""

import numpy as np
import pytest
from simulated import agrees, num_draws

from ddpm_jax.evaluation import kernel


def double_loop(a, b):
    def k(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(z):
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
        return sum(k(z[i], z[j]) for i, j in pairs) / len(pairs)

    across = [k(x, y) for x in a for y in b]
    return within(a) + within(b) - 2 * sum(across) / len(across)


def features_like(draw, num_features):
    """A function that draws sets as a network's last layer makes them: ten classes, rectified,
    correlated, with heavier tails than Gaussian ones."""
    mixing = draw.normal(size=(24, num_features)) / np.sqrt(24)
    classes, bias = 1.2 * draw.normal(size=(10, 24)), draw.normal(0, 0.3, num_features)

    def sample(num, shift=0.0):
        hidden = classes[draw.integers(0, 10, num)] + draw.standard_t(8, (num, 24))
        return np.maximum((hidden + shift) @ mixing + bias, 0)

    return sample


def false_alarms(num, num_reference, num_features, *, draws, spaces=4):
    """How many of 95 % intervals are without zero, of two sets of one distribution."""
    draw, alarms = np.random.default_rng(0), 0
    for _ in range(spaces):
        sample = features_like(draw, num_features)
        for _ in range(draws // spaces):
            found = kernel.distance(sample(num), sample(num_reference))
            alarms += not found.low <= 0 <= found.high
    return alarms


def test_the_value_agrees_with_a_double_loop():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(12, 5)), draw.normal(0.3, 1.2, size=(9, 5))
    expected = double_loop(a.tolist(), b.tolist())
    assert kernel.distance(a, b).value == pytest.approx(expected, rel=1e-9)


def test_the_blocks_of_the_kernel_matrix_do_not_show(monkeypatch):
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(50, 5)), draw.normal(0.3, 1.2, size=(37, 5))
    whole = kernel.distance(a, b)
    monkeypatch.setattr(kernel, "BLOCK", 16)
    np.testing.assert_allclose(kernel.distance(a, b), whole, rtol=1e-6)


def test_the_reach_to_zero_is_that_of_the_explicit_covariances():
    """1.96 sqrt(2) |C_x / n + C_y / m|, C of the kernel's features (z / sqrt(D), 1)^(3), written out."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(4000, 2)), draw.normal(size=(3000, 2))

    def explicit(z):
        one = np.concatenate([z / np.sqrt(2), np.ones((len(z), 1))], axis=1)
        return np.einsum("na,nb,nc->nabc", one, one, one).reshape(len(z), 27)

    covariance = np.cov(explicit(x).T) / len(x) + np.cov(explicit(y).T) / len(y)
    found = kernel.distance(x, y)
    assert found.low <= 0  # then the lower arm is the reach
    expected = 1.959964 * np.sqrt(2 * (covariance**2).sum())
    assert found.value - found.low == pytest.approx(expected, rel=0.02)


def test_equal_distributions_average_to_zero_over_50_draws():
    draw = np.random.default_rng(0)
    values = [
        kernel.distance(draw.normal(size=(300, 8)), draw.normal(size=(200, 8))).value
        for _ in range(50)
    ]
    assert abs(np.mean(values)) < 2 * np.std(values, ddof=1) / np.sqrt(50)
    assert min(values) < 0 < max(values)


def test_zero_is_missed_by_about_one_interval_in_twenty():
    assert 8 <= false_alarms(100, 100, 64, draws=400) <= 36
    assert 8 <= false_alarms(100, 200, 64, draws=400) <= 36


@pytest.mark.slow
def test_false_alarms_are_3_to_8_percent_at_every_size(record_property):
    cases = [
        (100, 100, 64, 2000), (100, 100, 128, 2000), (359, 359, 64, 1000), (359, 359, 128, 1000),
        (2000, 2000, 64, 400), (100, 359, 64, 1600), (359, 100, 128, 1600), (359, 2000, 64, 600),
    ]  # fmt: skip
    found = {}
    for *case, whole in cases:
        draws = 4 * num_draws(whole // 4)
        found[tuple(case)] = false_alarms(*case, draws=draws), draws, whole
    record_property(
        "counted",
        "95 % intervals without zero, of equal distributions: "
        + "; ".join(
            f"{n:,} to {m:,} in {d} dimensions {100 * alarms / draws:.1f} % of {draws:,}"
            for (n, m, d), (alarms, draws, _) in found.items()
        ),
    )
    assert all(agrees(*counts, 0.03, 0.08) for counts in found.values()), found


@pytest.mark.long
@pytest.mark.parametrize("shift", [0.1, 0.3, 1.0])
def test_the_interval_of_different_distributions_covers_the_distance(shift, record_property):
    draw = np.random.default_rng(1)
    sample = features_like(draw, 64)
    truth = kernel.distance(sample(20_000, shift), sample(20_000)).value
    draws = num_draws(300)
    for n, m in ((100, 100), (359, 359), (200, 1000)):
        results = [kernel.distance(sample(n, shift), sample(m)) for _ in range(draws)]
        covered = sum(found.low <= truth <= found.high for found in results)
        record_property(
            "counted", f"shift {shift}, {n} to {m}: {covered} of {draws} intervals hold it"
        )
        assert agrees(covered, draws, 300, 0.90, 0.99)


def test_a_set_sorted_by_class_has_the_distance_of_the_same_set_shuffled():
    classes = np.repeat(np.arange(4.0), 250)[:, None] * np.ones((1, 6))
    other = np.random.default_rng(0).normal(1.5, 1.2, (500, 6))
    shuffled = np.random.default_rng(0).permutation(classes)
    np.testing.assert_allclose(
        kernel.distance(classes, other), kernel.distance(shuffled, other), rtol=1e-9
    )


def test_equal_images_are_at_no_distance_and_a_tiny_set_is_refused():
    same = np.ones((10, 3))
    np.testing.assert_allclose(kernel.distance(same, same), np.zeros(3), atol=1e-12)
    with pytest.raises(ValueError, match="at least 4 images a set, got 3"):
        kernel.distance(np.ones((3, 3)), np.ones((99, 3)))
