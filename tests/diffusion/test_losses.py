import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import losses, process, schedules

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
