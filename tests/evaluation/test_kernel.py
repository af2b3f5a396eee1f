"""Expected values: a plain double loop over pairs, and the average over many draws."""

import numpy as np
import pytest

from ddpm_jax.evaluation import kernel


def double_loop(a, b):
    def k(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(z):
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
        return sum(k(z[i], z[j]) for i, j in pairs) / len(pairs)

    across = [k(x, y) for x in a for y in b]
    return within(a) + within(b) - 2 * sum(across) / len(across)


def test_one_block_agrees_with_a_double_loop():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(12, 5)), draw.normal(0.3, 1.2, size=(9, 5))
    assert kernel.unbiased(a, b) == pytest.approx(double_loop(a.tolist(), b.tolist()), rel=1e-9)


def test_equal_distributions_average_to_zero_over_50_draws():
    draw = np.random.default_rng(0)
    values = [
        kernel.distance(draw.normal(size=(300, 8)), draw.normal(size=(200, 8)), block_size=50).value
        for _ in range(50)
    ]
    assert abs(np.mean(values)) < 2 * np.std(values, ddof=1) / np.sqrt(50)
    assert min(values) < 0 < max(values)


def test_the_standard_error_is_the_spread_over_repeated_draws():
    draw = np.random.default_rng(1)
    results = [
        kernel.distance(draw.normal(0.2, 1, (800, 8)), draw.normal(size=(800, 8)), block_size=80)
        for _ in range(40)
    ]
    spread = np.std([result.value for result in results], ddof=1)
    typical = np.sqrt(np.mean([result.standard_error**2 for result in results]))
    assert typical == pytest.approx(spread, rel=0.35)
    assert results[0].num_blocks == 10


def test_blocks_of_a_set_sorted_by_class_are_mixed():
    sorted_set = np.repeat(np.arange(4.0), 250)[:, None] * np.ones((1, 6))
    shuffled = np.random.default_rng(0).permutation(sorted_set)
    result = kernel.distance(sorted_set, shuffled, block_size=250)
    assert abs(result.value) < 3 * result.standard_error


def test_a_small_set_is_cut_into_two_blocks_and_a_tiny_one_refused():
    draw = np.random.default_rng(0)
    assert kernel.distance(draw.normal(size=(10, 3)), draw.normal(size=(99, 3))).num_blocks == 2
    with pytest.raises(ValueError, match="at least 4 images a set, got 3"):
        kernel.distance(draw.normal(size=(3, 3)), draw.normal(size=(99, 3)))
