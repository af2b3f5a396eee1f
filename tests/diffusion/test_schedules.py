import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import schedules

TABLES = {"linear": schedules.linear, "cosine": schedules.cosine}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_a_table_has_a_clean_row_and_one_per_step(make):
    table = make(50)
    assert table.t.shape == (51,) and table.num_steps == 50
    np.testing.assert_array_equal(table.t, np.arange(51))
    assert table.alpha[0] == 1.0 and table.sigma[0] == 0.0
    assert table.log_snr[0] == np.inf
    assert np.all(np.diff(table.log_snr[1:]) < 0)
    assert table.alpha.dtype == table.sigma.dtype == table.t.dtype == jnp.float32
    np.testing.assert_allclose(table.alpha**2 + table.sigma**2, 1.0, atol=1e-6)


def test_linear_is_the_product_of_one_minus_beta():
    # By hand, beta = 0.1, 0.2, 0.3: alpha_bar = 0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7.
    # A table that leaves alpha_t itself out of alpha_bar_t would start 1, 0.9, 0.72.
    table = schedules.linear(3, 0.1, 0.3)
    np.testing.assert_allclose(table.alpha[1:] ** 2, [0.9, 0.72, 0.504], rtol=1e-6)
    np.testing.assert_allclose(table.sigma[1:], np.sqrt([0.1, 0.28, 0.496]), rtol=1e-6)


def test_linear_ends_where_ho_et_al_say():
    # Ho et al. 2020, sec. 4: the signal left at T is 1e-5 bits/dim; alpha_bar_T is 4e-5.
    table = schedules.linear(1000)
    assert table.alpha[1000] ** 2 == pytest.approx(4.036e-5, rel=1e-3)
    assert table.sigma[1] == pytest.approx(0.01, rel=1e-6)


def test_cosine_matches_its_formula():
    table = schedules.cosine(1000)
    t = np.arange(1, 990)  # the last rows are where beta is capped
    f = np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    expected = f / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(table.alpha[t] ** 2, expected, rtol=1e-5)
    # Without the cap alpha_bar_T would be zero.
    assert table.alpha[1000] ** 2 == pytest.approx(1e-3 * float(table.alpha[999]) ** 2, rel=1e-5)


def test_betas_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"betas from 0\.0 to 1\.5"):
        schedules.linear(3, 0.0, 1.5)


def test_levels_index_and_broadcast_like_arrays():
    table = schedules.linear(10)
    batch = table[jnp.array([3, 10])]
    np.testing.assert_array_equal(batch.t, [3, 10])
    assert batch.like(jnp.zeros((2, 4, 4, 1))).alpha.shape == (2, 1, 1, 1)
    assert table[3].like(jnp.zeros((2, 4, 4, 1))).alpha.shape == ()
    assert table[4:].num_steps == 6


def test_levels_pass_through_transformations():
    table = schedules.linear(4)
    rows = jax.vmap(lambda level: level.alpha**2 + level.sigma**2)(table)
    np.testing.assert_allclose(rows, 1.0, atol=1e-6)
    _, scanned = jax.lax.scan(lambda c, level: (c, level.t), None, table)
    np.testing.assert_array_equal(scanned, table.t)


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_as_many_steps_as_rows_give_every_row(make):
    table = make(37)
    levels = schedules.descending(table, 37)
    for got, wanted in zip(jax.tree.leaves(levels), jax.tree.leaves(table), strict=True):
        np.testing.assert_array_equal(got, wanted[::-1])


def test_fewer_steps_are_evenly_spaced_rows():
    table = schedules.cosine(1000)
    levels = schedules.descending(table, 4)
    np.testing.assert_array_equal(levels.t, [1000, 750, 500, 250, 0])
    np.testing.assert_array_equal(levels.sigma, table.sigma[jnp.array([1000, 750, 500, 250, 0])])


def test_fractional_t_is_interpolated_in_log_snr():
    table = schedules.linear(10, 0.01, 0.3)
    levels = schedules.descending(table, 4)  # t = 10, 7.5, 5, 2.5, 0
    np.testing.assert_allclose(levels.t, [10, 7.5, 5, 2.5, 0])
    between = (table.log_snr[7] + table.log_snr[8]) / 2
    assert levels.log_snr[1] == pytest.approx(float(between), rel=1e-4)
    np.testing.assert_allclose(levels.alpha**2 + levels.sigma**2, 1.0, atol=1e-6)


def test_more_steps_than_rows_still_descend_to_the_clean_image():
    levels = schedules.descending(schedules.cosine(5), 20)
    assert np.all(np.diff(levels.sigma) < 0) and levels.sigma[-1] == 0.0
    assert np.all(np.isfinite(levels.alpha)) and levels.t[-1] == 0.0


def test_bad_requests_for_steps_are_refused():
    table = schedules.linear(10)
    with pytest.raises(ValueError, match="num_steps 0; at least 1"):
        schedules.descending(table, 0)
    with pytest.raises(
        ValueError, match="spacing 'log'; known are uniform, quadratic, karras, log_snr"
    ):
        schedules.descending(table, 5, spacing="log")


def test_quadratic_steps_are_denser_near_the_image():
    levels = schedules.descending(schedules.linear(1000), 5, spacing="quadratic")
    np.testing.assert_allclose(levels.t, [1000, 640, 360, 160, 40, 0])


def test_karras_spacing_follows_its_formula():
    """Karras et al. 2022, eq. 5, by hand for 3 steps of rho 7 between 80 and 0.01."""
    table = schedules.linear(1000)
    levels = schedules.descending(table, 3, spacing="karras")
    low = float(table.sigma[1] / table.alpha[1])
    middle = ((80 ** (1 / 7) + low ** (1 / 7)) / 2) ** 7
    np.testing.assert_allclose(levels.sigma / levels.alpha, [80, middle, low, 0.0], rtol=1e-4)


def test_log_snr_spacing_is_even_and_stops_at_the_noisiest_row():
    table = schedules.linear(100, 0.001, 0.05)  # sigma / alpha ends at 3.4
    levels = schedules.descending(table, 7, spacing="log_snr")
    assert levels.t[0] == 100 and levels.t[-1] == 0
    np.testing.assert_allclose(np.diff(levels.log_snr[:-1], 2), 0.0, atol=1e-4)


@pytest.mark.parametrize("spacing", schedules.SPACINGS)
@pytest.mark.parametrize("num_steps", [1, 7, 60])
def test_every_spacing_descends_to_the_clean_image(spacing, num_steps):
    levels = schedules.descending(schedules.cosine(30), num_steps, spacing=spacing)
    assert levels.num_steps == num_steps
    assert np.all(np.diff(levels.sigma / levels.alpha) < 0)
    assert levels.t[-1] == levels.sigma[-1] == 0.0 and levels.alpha[-1] == 1.0
    np.testing.assert_allclose(levels.alpha**2 + levels.sigma**2, 1.0, atol=1e-6)


def test_sigmoid_beta_has_its_known_alpha_bar():
    # Computed for the same schedule elsewhere: 0.84, 0.62, 0.30 at t = 300, 400, 500, 4e-5 at T.
    alpha_bar = schedules.sigmoid_beta(1000).alpha ** 2
    np.testing.assert_allclose(alpha_bar[jnp.array([300, 400, 500])], [0.84, 0.62, 0.30], atol=5e-3)
    assert alpha_bar[1000] == pytest.approx(4e-5, rel=0.05)


def test_sigmoid_beta_ends_near_its_two_betas():
    table = schedules.sigmoid_beta(2, beta_start=0.1, beta_end=0.3, span=50.0)
    np.testing.assert_allclose(table.alpha[1:] ** 2, [0.9, 0.9 * 0.7], rtol=1e-6)


def test_sigmoid_alpha_bar_is_a_normalized_sigmoid():
    """By hand at the middle of -3 to 3, where the sigmoid is 1/2, and at a quarter."""
    alpha_bar = schedules.sigmoid_alpha_bar(1000).alpha ** 2
    assert alpha_bar[500] == pytest.approx(0.5, rel=1e-4)
    low, high, quarter = (1 / (1 + np.exp(-x)) for x in (-3.0, 3.0, -1.5))
    assert alpha_bar[250] == pytest.approx((high - quarter) / (high - low), rel=1e-4)
    assert alpha_bar[1000] == pytest.approx(1e-3 * float(alpha_bar[999]), rel=1e-4)
    steep = schedules.sigmoid_alpha_bar(1000, start=0.0, end=3.0, temperature=0.5).alpha ** 2
    low, high, quarter = (1 / (1 + np.exp(-x)) for x in (0.0, 6.0, 1.5))
    assert steep[250] == pytest.approx((high - quarter) / (high - low), rel=1e-4)


def test_blend_weighs_image_and_noise_to_one():
    table = schedules.blend(10)
    np.testing.assert_allclose(table.alpha + table.sigma, 1.0, atol=1e-6)
    assert table.sigma[10] == pytest.approx(1 - np.cos(0.2 * np.pi), rel=1e-5)  # 0.191
    assert schedules.blend(4, reach=1.0).alpha[4] == pytest.approx(0.0, abs=1e-7)


def test_levels_from_log_snr_have_that_log_snr():
    wanted = np.linspace(8.0, -8.0, 33)
    table = schedules.from_log_snr(wanted)
    np.testing.assert_allclose(table.log_snr[1:], wanted, atol=1e-5)
    np.testing.assert_allclose(table.alpha**2 + table.sigma**2, 1.0, atol=1e-6)
    with pytest.raises(ValueError, match=r"log_snr -8\.0 is followed by -7\.5; it must fall"):
        schedules.from_log_snr(wanted[::-1])


def test_a_schedule_is_shifted_for_larger_images_by_its_log_snr():
    """Hoogeboom et al. 2023: at twice the sides the mean of four pixels has as much signal as one."""
    table = schedules.cosine(100)
    shifted = schedules.from_log_snr(np.asarray(table.log_snr[1:]) - 2 * np.log(2))
    ratio = (table.alpha / table.sigma)[1:]
    np.testing.assert_allclose((shifted.alpha / shifted.sigma)[1:], ratio / 2, rtol=1e-4)


def test_karras_levels_follow_equation_5():
    # rho = 2 from 1 to 100: square roots 1, 5.5, 10.
    table = schedules.karras(3, sigma_min=1.0, sigma_max=100.0, rho=2.0)
    np.testing.assert_allclose(table.sigma, [0, 1, 30.25, 100], rtol=1e-6)
    np.testing.assert_array_equal(table.t, table.sigma)
    np.testing.assert_array_equal(table.alpha, 1.0)


def test_one_step_of_karras_is_the_noisiest_one():
    np.testing.assert_allclose(schedules.karras(1).sigma, [0.0, 80.0], rtol=1e-6)


@pytest.mark.parametrize("spacing", schedules.SPACINGS)
@pytest.mark.parametrize("num_rows", [1, 7])
@pytest.mark.parametrize(
    "make", [schedules.linear, schedules.sigmoid_beta, schedules.blend, schedules.karras]
)
def test_one_step_of_a_sampler_starts_at_the_noisiest_level(make, num_rows, spacing):
    """None of these tables is noisier than sigma / alpha = 80, from which two spacings start."""
    table = make(num_rows)
    levels = schedules.descending(table, 1, spacing)
    np.testing.assert_allclose(levels.sigma, [table.sigma[-1], 0.0], rtol=1e-6)
    np.testing.assert_allclose(levels.t, [table.t[-1], 0.0], rtol=1e-6)


def test_a_level_is_found_by_its_log_snr():
    table = schedules.cosine(50)
    found = schedules.at_log_snr(table, table.log_snr[20])
    for got, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(table[20]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
    halfway = schedules.at_log_snr(table, (table.log_snr[20] + table.log_snr[21]) / 2)
    assert halfway.t == pytest.approx(20.5, abs=1e-3)
    assert schedules.at_log_snr(table, jnp.float32(-99.0)).t == 50
    assert schedules.at_log_snr(table, jnp.float32(99.0)).t == 1


def test_a_level_of_the_blend_is_found_at_its_own_scale():
    table = schedules.blend(10)
    found = schedules.at_log_snr(table, table.log_snr[4])
    np.testing.assert_allclose(
        [found.alpha, found.sigma], [table.alpha[4], table.sigma[4]], rtol=1e-4
    )


def test_a_step_goes_to_the_row_before():
    now, nxt = schedules.step_to(schedules.linear(10), jnp.array([1, 10]))
    np.testing.assert_array_equal(now.t, [1, 10])
    np.testing.assert_array_equal(nxt.t, [0, 9])
