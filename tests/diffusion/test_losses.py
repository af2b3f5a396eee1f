import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import losses, predictions, process, schedules

TABLE = schedules.cosine(10)


def test_mse_is_one_number_per_image():
    estimate = jnp.array([[1.0, 2.0], [0.0, 0.0]]).reshape(2, 2, 1, 1)
    np.testing.assert_allclose(losses.mse(estimate, jnp.zeros_like(estimate)), [2.5, 0.0])


@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_the_perfect_network_has_no_loss(kind):
    level = TABLE[jnp.array([2, 7])]
    x0, eps = jnp.full((2, 1, 1, 1), 0.4), jnp.full((2, 1, 1, 1), -1.3)
    wide = level.like(x0)
    answers = {"eps": eps, "x0": x0, "v": wide.alpha * eps - wide.sigma * x0}
    seen = []

    def predict(xt, t):
        seen.append((xt, t))
        return answers[kind]

    loss = losses.denoising(predict, x0, level, eps, kind)
    np.testing.assert_allclose(loss, [0.0, 0.0], atol=1e-12)
    np.testing.assert_array_equal(seen[0][1], [2, 7])
    np.testing.assert_array_equal(seen[0][0], process.noise(x0, level, eps))


def images(*rows):
    return jnp.array(rows).reshape(len(rows), -1, 1, 1)


ESTIMATE = images([3.0, 0.5], [1.0, 0.0])
TRUTH = images([0.0, 0.0], [0.0, 2.0])


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (losses.mse, [(9 + 0.25) / 2, (1 + 4) / 2]),
        (losses.squared_norm, [9.25, 5.0]),
        (losses.l1, [1.75, 1.5]),
        (losses.huber, [(2.5 + 0.125) / 2, (0.5 + 1.5) / 2]),
        (losses.cosine, [1.0, 1.0]),
        (losses.combined, [0.7 * 4.625 + 0.15 * 1.75 + 0.15, 0.7 * 2.5 + 0.15 * 1.5 + 0.15]),
    ],
)
def test_distances_by_hand(loss, by_hand):
    np.testing.assert_allclose(loss(ESTIMATE, TRUTH), by_hand, rtol=1e-6)


def test_huber_is_linear_beyond_delta():
    loss = losses.huber(images([10.0]), images([0.0]), delta=0.5)
    np.testing.assert_allclose(loss, 0.5 * 10 - 0.5 * 0.25)


def test_cosine_sees_direction_alone():
    a = images([1.0, 2.0], [1.0, 2.0], [1.0, 0.0])
    b = images([2.0, 4.0], [-1.0, -2.0], [0.6, 0.8])
    np.testing.assert_allclose(losses.cosine(a, b), [0.0, 2.0, 0.4], atol=1e-6)


def test_combined_takes_other_weights():
    got = losses.combined(ESTIMATE, TRUTH, mse_weight=0.0, l1_weight=2.0, cosine_weight=0.0)
    np.testing.assert_allclose(got, [3.5, 3.0])


@pytest.mark.parametrize(("progress", "shares"), [(0.0, (0.8, 0.2)), (1.0, (0.65, 0.35))])
def test_scheduled_shifts_from_mse_to_l1(progress, shares):
    scales = losses.LossScales(jnp.float32(0.3), jnp.float32(0.1))
    got = losses.scheduled(ESTIMATE, TRUTH, progress, scales)
    mse, l1 = np.array([4.625, 2.5]), np.array([1.75, 1.5])
    np.testing.assert_allclose(got, shares[0] * mse + shares[1] * 3.0 * l1, rtol=1e-6)


def test_loss_scales_are_running_means():
    scales = losses.LossScales(jnp.float32(1.0), jnp.float32(1.0))
    scales = scales.update(losses.LossScales(jnp.float32(3.0), jnp.float32(0.5)), decay=0.9)
    np.testing.assert_allclose(scales, [0.9 + 0.3, 0.9 + 0.05], rtol=1e-6)


@pytest.fixture
def learned(key):
    """A batch, and a network of one number for the image and one for the variance."""
    table = schedules.linear(100, 1e-3, 0.1)
    x0 = jnp.full((2, 2, 2, 1), 100 / 127.5 - 1.0)
    eps = jax.random.normal(key, x0.shape)
    steps = schedules.step_to(table, jnp.array([1, 60]))

    def denoise(weights):
        def predict(xt, t):
            return jnp.concatenate([weights[0] * xt, weights[1] + 0.0 * xt], axis=-1)

        return predictions.denoiser_with_variance(predict, "eps")

    return denoise, x0, eps, *steps


def test_the_bound_in_the_hybrid_loss_trains_the_variance_alone(learned):
    denoise, x0, eps, now, nxt = learned

    def hybrid(weights, bound_weight):
        loss = losses.hybrid(
            denoise(weights), x0, eps, now, nxt, 100, kind="eps", bound_weight=bound_weight
        )
        return loss.sum()

    gradient = jax.jit(jax.grad(hybrid), static_argnums=1)
    weights = jnp.array([0.7, 0.3])
    simple, both = gradient(weights, 0.0), gradient(weights, 0.01)
    assert simple[1] == 0.0 and both[1] != 0.0
    assert simple[0] == both[0] != 0.0


def test_hybrid_is_the_simple_loss_plus_the_weighted_bound(learned):
    """Nichol & Dhariwal 2021, eq. 16, from its two parts."""
    denoise, x0, eps, now, nxt = learned
    denoise = denoise(jnp.array([0.7, 0.3]))
    simple = losses.mse(denoise(process.noise(x0, now, eps), now).eps, eps)
    bound = losses.variational_bound(denoise, x0, eps, now, nxt, 100)
    got = losses.hybrid(denoise, x0, eps, now, nxt, 100, kind="eps")
    np.testing.assert_allclose(got, simple + 0.001 * bound, rtol=1e-5)
    assert np.all(bound > 0.0)


def test_cosine_has_a_finite_gradient_where_a_network_starts():
    """Its last layer is zero, and so is its first image."""
    truth = jnp.ones((2, 2, 2, 1))
    gradient = jax.grad(lambda x: losses.cosine(x, truth).sum())(jnp.zeros_like(truth))
    assert jnp.all(jnp.isfinite(gradient)) and jnp.all(gradient < 0.0)
