import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import guidance, predictions, schedules

LEVEL = schedules.cosine(100)[60]


def gaussian(mean):
    def denoise(xt, level):
        return predictions.from_x0(xt, oracle.x0_hat(xt, level, mean=mean), level)

    return denoise


@pytest.fixture
def xt(key):
    return jax.random.normal(key, (3, 2, 2, 1))


@pytest.mark.parametrize(("scale", "same_as"), [(1.0, 0.8), (0.0, -0.2)])
def test_scale_one_is_conditional_and_zero_unconditional(scale, same_as, xt):
    got = guidance.classifier_free(gaussian(0.8), gaussian(-0.2), scale)(xt, LEVEL)
    wanted = gaussian(same_as)(xt, LEVEL)
    np.testing.assert_allclose(got.x0, wanted.x0, atol=1e-5)
    np.testing.assert_allclose(got.eps, wanted.eps, atol=1e-5)


def test_guidance_extrapolates_the_mean(xt):
    """Two Gaussians of equal spread: the guided one's mean is m0 + scale (m1 - m0)."""
    got = guidance.classifier_free(gaussian(0.8), gaussian(-0.2), 3.0)(xt, LEVEL)
    wanted = gaussian(-0.2 + 3.0 * 1.0)(xt, LEVEL)
    np.testing.assert_allclose(got.x0, wanted.x0, atol=1e-5)
    np.testing.assert_allclose(got.eps, wanted.eps, atol=1e-5)


@pytest.mark.parametrize("level", [LEVEL, schedules.cosine(100)[jnp.array([3, 60, 90])]])
def test_one_call_on_a_doubled_batch_gives_both(level, xt):
    means = jnp.array([0.8] * 3 + [-0.2] * 3).reshape(
        6, 1, 1, 1
    )  # the "labels" bound to the network
    calls = []

    def denoise(both, level):
        calls.append(both.shape)
        return predictions.from_x0(both, oracle.x0_hat(both, level, mean=means), level)

    got = guidance.classifier_free_pair(guidance.doubled(denoise), 2.0)(xt, level)
    wanted = guidance.classifier_free(gaussian(0.8), gaussian(-0.2), 2.0)(xt, level)
    assert calls == [(6, 2, 2, 1)]
    np.testing.assert_allclose(got.x0, wanted.x0, atol=1e-6)
    np.testing.assert_allclose(got.eps, wanted.eps, atol=1e-6)
