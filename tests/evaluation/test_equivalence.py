"""Expected values: closed forms, hand calculation, and counted coverage of known learning curves."""

import numpy as np
import pytest
from scipy import stats
from simulated import agrees, num_draws

from ddpm_jax.evaluation import equivalence

CURVES = {
    "0.93 - 1.2 n^-0.5": lambda n: 0.93 - 1.2 * n**-0.5,
    "0.95 - n^-0.3": lambda n: 0.95 - n**-0.3,
    "0.90 - 8 n^-0.7": lambda n: 0.90 - 8 * n**-0.7,
    "0.92 - 0.5 exp(-(n / 800)^0.35)": lambda n: 0.92 - 0.5 * np.exp(-((n / 800) ** 0.35)),
}
TRUTHS = (450, 700, 1200, 2000, 4000, 7000)
CONFIGURED = (300, 3000, 54000)
HALF_DECADES = 10 ** np.arange(1, 3.1, 0.5)


def noise(n):
    """Standard deviation over seeds: 1.5 points at 300 images, 0.3 at 54,000."""
    return 0.002 + 0.013 * (300 / n) ** 0.5


def same(values):
    """Accuracies without spread over two seeds."""
    return np.repeat(np.array(values)[..., None], 2, axis=-1)


def study(curve, truth, draw, *, extra=6, num_seeds=5):
    """As --mode=worth does it: the configured sizes, then those that are wanted, then the answer.

    Seeds share a part of their noise in all arms, as arms of one seed share real images.
    """
    shared = draw.normal(size=num_seeds)

    def train(n):
        own = draw.normal(size=num_seeds)
        return curve(n) + noise(n) * (np.sqrt(0.3) * shared + np.sqrt(0.7) * own)

    real, accuracy = {n: train(n) for n in CONFIGURED}, train(truth)
    for added in range(extra + 1):
        sizes = np.array(sorted(real))
        curve_found = np.array([real[n] for n in sizes])
        wanted = equivalence.wanted_sizes(sizes, curve_found, accuracy)
        if added == extra or not wanted:
            return equivalence.equivalence(sizes, curve_found, accuracy), added
        size = 10 * round(wanted[0] / 10)
        real[size] = train(size)


def count(curve, truth, num, draw):
    """How many studies' intervals hold the truth and how many results are bounds; mean sizes added."""
    found = [study(curve, truth, draw) for _ in range(num)]
    held = sum(result.low <= truth <= result.high for result, _ in found)
    bounds = sum(result.images is None for result, _ in found)
    return held, bounds, np.mean([added for _, added in found])


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_the_interval_covers_90_to_99_percent_with_the_sizes_that_a_study_adds(
    name, record_property
):
    draw = np.random.default_rng(0)
    num = num_draws(400)
    rows = {truth: count(CURVES[name], truth, num, draw) for truth in TRUTHS}
    record_property(
        "counted",
        f"{name}, worth: interval holds it, result is a bound, sizes added: "
        + "; ".join(
            f"{truth:,}: {100 * held / num:.1f} %, {100 * bounds / num:.1f} %, {added:.1f}"
            for truth, (held, bounds, added) in rows.items()
        ),
    )
    for held, bounds, _ in rows.values():
        assert agrees(held, num, 400, 0.90, 0.99)
        assert agrees(bounds, num, 400, 0.0, 0.2)


def test_the_interval_covers_the_truth_on_a_bent_curve():
    draw = np.random.default_rng(1)
    held, bounds, _ = count(CURVES["0.93 - 1.2 n^-0.5"], 1200, 100, draw)
    assert held >= 88 and bounds <= 5


def test_a_bound_holds_the_truth_where_no_size_may_be_added():
    draw = np.random.default_rng(2)
    results = [study(CURVES["0.95 - n^-0.3"], 1200, draw, extra=0)[0] for _ in range(50)]
    assert all(result.images is None for result in results)
    assert np.mean([result.low <= 1200 <= result.high for result in results]) >= 0.95


@pytest.mark.parametrize("exponent", [0.25, 0.5, 0.75, 1.0])
def test_without_noise_the_interval_holds_the_truth_of_any_power_law(exponent):
    def curve(n):
        return 0.9 - n**-exponent

    for truth in np.geomspace(11, 900, 17):
        accuracy = same(curve(truth))
        found = equivalence.equivalence(HALF_DECADES, same(curve(HALF_DECADES)), accuracy)
        assert found.low <= truth * (1 + 2e-3) and truth * (1 - 2e-3) <= found.high
        # Half a decade of n^-1 read with n^-0.5, and the other way: 8.6 % by the closed forms.
        assert abs(found.images / truth - 1) < (1e-6 if exponent == 0.5 else 0.09)
        assert found.high / found.low < 1.18


def test_the_ends_are_where_the_paired_t_test_stops_rejecting():
    """At a measured size, whatever the other sizes are, and with what the seeds share taken out."""
    draw = np.random.default_rng(3)
    sizes = HALF_DECADES
    shared = draw.normal(0, 0.05, 5)
    real = (0.9 - sizes**-0.5)[:, None] + shared + draw.normal(0, 0.01, (5, 5))
    accuracy = 0.9 - 100**-0.5 + shared + draw.normal(0, 0.01, 5)
    found = equivalence.equivalence(sizes, real, accuracy)
    inside = [found.low <= size <= found.high for size in sizes]
    assert inside == [stats.ttest_rel(row, accuracy).pvalue > 0.05 for row in real]
    assert found.high / found.low < 2  # the shared 5 points would make it wider than all sizes


def test_sizes_a_decade_apart_give_a_bound_by_measured_sizes():
    sizes = np.array([10, 100, 1000])
    found = equivalence.equivalence(sizes, same([0.6, 0.8, 0.9]), same(0.7))
    assert found == (None, 10, 100)
    # At a measured size there is nothing to interpolate.
    assert equivalence.equivalence(sizes, same([0.6, 0.8, 0.9]), same(0.8)) == (100, 100, 100)


def test_beyond_the_curve_it_is_a_bound_with_one_end():
    curve = same([0.6, 0.8, 0.9])
    sizes = np.array([10, 30, 90])
    assert equivalence.equivalence(sizes, curve, same(0.5)) == (None, 0, 10)
    assert equivalence.equivalence(sizes, curve, same(0.95)) == (None, 90, np.inf)


def test_published_studies_are_bounds():
    """Means and half-widths of docs/studies.md; 2.776 is Student's quantile of five seeds."""

    def seeds(mean, half_width, pattern):
        spread = np.array(pattern) - np.mean(pattern)
        return (mean + half_width * np.sqrt(5) / 2.776445 * spread / spread.std(ddof=1)) / 100

    first, second = (-2, -1, 0, 1, 2), (1, -2, 2, -1, 0)
    fashion = [seeds(*row, first) for row in ((78.0, 1.9), (86.0, 0.3), (86.6, 0.5))]
    found = equivalence.equivalence(
        np.array([300, 3000, 54000]), np.array(fashion), seeds(83.3, 0.5, second)
    )
    assert found == (None, 300, 3000)
    shirts = [seeds(*row, first) for row in ((80.6, 1.1), (84.7, 0.4), (86.3, 0.3))]
    found = equivalence.equivalence(
        np.array([100, 1000, 10800]), np.array(shirts), seeds(84.1, 1.3, second)
    )
    assert found == (None, 100, 10800)


def test_wanted_sizes_cut_the_gap_that_holds_the_answer():
    sizes, curve = np.array([300, 3000, 54000]), same([0.78, 0.86, 0.90])
    assert equivalence.wanted_sizes(sizes, curve, same(0.80)) == pytest.approx([300 * 10**0.5])
    # 1.26 decades: three parts; the answer is near the lower cut.
    assert equivalence.wanted_sizes(sizes, curve, same(0.87)) == pytest.approx(
        [3000 * 18 ** (1 / 3)]
    )
    assert equivalence.wanted_sizes(HALF_DECADES, same(np.arange(5) / 10), same(0.25)) == []
    assert equivalence.wanted_sizes(sizes, curve, same(0.86)) == []
    assert equivalence.wanted_sizes(sizes, curve, same(0.95)) == []


def test_wanted_sizes_also_cut_the_gap_that_holds_an_end_of_the_interval():
    sizes = np.array([30, 90, 900])
    curve = np.array([[0.7, 0.7], [0.8, 0.8], [0.9, 0.9]])
    # 0.792 +- 0.025 reaches a sixth of the way from 90 to 900.
    accuracy = np.array([0.790, 0.794])
    wanted = equivalence.wanted_sizes(sizes, curve, accuracy)
    assert wanted == pytest.approx([90 * 10**0.5])
    found = equivalence.equivalence(sizes, curve, accuracy)
    expected = (0.08 * 30**-0.5 + 0.92 * 90**-0.5) ** -2
    assert found.images == pytest.approx(expected) and found.high == 900


def test_a_dent_in_the_real_curve_is_flattened():
    sizes = HALF_DECADES[:4]
    found = equivalence.equivalence(sizes, same([0.6, 0.82, 0.78, 0.9]), same(0.7))
    # Half-way to the flat part at 0.8, in n^-0.5.
    expected = ((sizes[0] ** -0.5 + sizes[1] ** -0.5) / 2) ** -2
    assert found.images == pytest.approx(expected)


def test_a_target_on_the_flat_top_is_worth_the_whole_real_set():
    found = equivalence.equivalence(np.array([10, 30, 90]), same([0.5, 0.9, 0.9]), same(0.9))
    assert found.images == 90


@pytest.mark.parametrize("sizes", [[100, 10], [10, 10], [10]])
def test_sizes_must_increase(sizes):
    with pytest.raises(ValueError, match="must increase"):
        equivalence.equivalence(np.array(sizes), np.ones((len(sizes), 3)), np.ones(3))


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 seeds, got 1"):
        equivalence.equivalence(np.array([1, 2]), np.ones((2, 1)), np.ones(1))
