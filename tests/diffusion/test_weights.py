import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import losses, predictions, process, schedules, weights
from ddpm_jax.diffusion.schedules import Level

NAMED = {
    "snr": weights.snr,
    "truncated_snr": weights.truncated_snr,
    "min_snr": weights.min_snr,
    "p2": weights.p2,
}
# Two levels of SNR 8 and 1/3; a third that does not preserve the variance, of SNR 4.
LEVELS = Level(
    jnp.arange(3.0),
    jnp.sqrt(jnp.array([8 / 9, 1 / 4, 4.0])),
    jnp.sqrt(jnp.array([1 / 9, 3 / 4, 1.0])),
)


@pytest.mark.parametrize(
    ("name", "kind", "by_hand"),
    [
        # Hang et al. 2023: min(SNR, 5) for x0, / SNR for eps, / (SNR + 1) for v.
        ("min_snr", "x0", [5, 1 / 3, 4]),
        ("min_snr", "eps", [5 / 8, 1, 1]),
        ("min_snr", "v", [5 / 9, (1 / 3) / (4 / 3), 4 / 25]),
        ("snr", "x0", [8, 1 / 3, 4]),
        ("snr", "eps", [1, 1, 1]),
        # SNR / (SNR + 1) = alpha_bar.
        ("snr", "v", [8 / 9, 1 / 4, 4 / 25]),
        ("truncated_snr", "x0", [8, 1, 4]),
        ("truncated_snr", "eps", [1, 3, 1]),
        ("truncated_snr", "v", [8 / 9, 3 / 4, 4 / 25]),
        # Choi et al. 2022, on the eps loss: 1 / (1 + SNR) = 1 - alpha_bar.
        ("p2", "eps", [1 / 9, 3 / 4, 1 / 5]),
        ("p2", "x0", [8 / 9, 1 / 4, 4 / 5]),
        ("p2", "v", [8 / 81, 3 / 16, 4 / 125]),
    ],
)
def test_weights_by_hand(name, kind, by_hand):
    np.testing.assert_allclose(NAMED[name](LEVELS, kind), by_hand, rtol=1e-5)


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_none_leaves_the_loss_as_it_is(kind):
    np.testing.assert_array_equal(weights.none(LEVELS, kind), [1, 1, 1])


@pytest.mark.parametrize("weight", NAMED.values(), ids=NAMED)
def test_a_weighted_loss_is_the_same_whatever_the_network_outputs(weight):
    """One wrong estimate, told as eps, x0 and v, costs the same."""
    x0, eps = jnp.full((3, 1, 1, 1), 0.3), jnp.full((3, 1, 1, 1), -0.8)
    xt = process.noise(x0, LEVELS, eps)
    estimate = predictions.from_x0(xt, x0 + 0.2, LEVELS)
    costs = []
    for kind in ("eps", "x0", "v"):
        output = predictions.target(kind, estimate.x0, estimate.eps, LEVELS)
        loss = losses.mse(output, predictions.target(kind, x0, eps, LEVELS))
        costs.append(weight(LEVELS, kind) * loss)
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-4)
    np.testing.assert_allclose(costs[2], costs[1], rtol=1e-4)


def test_gamma_and_k_reach_the_weights():
    np.testing.assert_allclose(weights.min_snr(LEVELS, "x0", gamma=0.5), [0.5, 1 / 3, 0.5])
    np.testing.assert_allclose(
        weights.p2(LEVELS, "eps", gamma=2.0, k=2.0), [1 / 100, 9 / 49, 1 / 36], rtol=1e-5
    )


def test_no_weight_overflows_on_a_real_table():
    table = schedules.cosine(1000)[1:]
    for weight in NAMED.values():
        for kind in ("eps", "x0", "v"):
            assert np.all(np.isfinite(weight(table, kind)))


def test_unknown_kinds_are_refused_by_name():
    with pytest.raises(ValueError, match="prediction kind 'noise'; known are eps, x0, v"):
        weights.snr(LEVELS, "noise")
