import gaussian_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.diffusion import guidance, predictions, schedules, solvers

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
    """Two networks of Gaussians of equal spread: the guided mean is m0 + scale (m1 - m0)."""
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


def test_guidance_keeps_the_conditional_variance_of_a_learning_network(xt):
    def cond(xt, level):
        return gaussian(0.8)(xt, level)._replace(variance_fraction=jnp.full_like(xt, 0.3))

    got = guidance.classifier_free(cond, gaussian(-0.2), 2.0)(xt, LEVEL)
    np.testing.assert_allclose(got.variance_fraction, 0.3)


def test_another_class_for_the_unconditional_pushes_away_from_it(xt):
    """f(other) + s (f(class) - f(other)): the mean moves on from 0.8, further from 0.5."""
    got = guidance.classifier_free(gaussian(0.8), gaussian(0.5), 1.5)(xt, LEVEL)
    np.testing.assert_allclose(got.x0, gaussian(0.95)(xt, LEVEL).x0, atol=1e-5)


# A classifier with p(y | x0) in proportion to exp(slope sum(x0)): by Bayes' rule the data N(m, s^2)
# of the class is N(m + slope s^2, s^2), and log p(y | xt) = slope sum(E[x0 | xt]) + constant.
SLOPE = 0.8


def clean_log_prob(x0):
    return SLOPE * jnp.sum(x0, axis=(1, 2, 3))


def noised_log_prob(xt, level):
    return SLOPE * oracle.gain(level) * jnp.sum(xt, axis=(1, 2, 3))


CLASSIFIERS = {
    "noised": noised_log_prob,
    "clean": guidance.through_denoiser(oracle.denoise, clean_log_prob),
}


@pytest.mark.parametrize("t", [1, 30, 60, 99])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("log_prob", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifier_guidance_shifts_the_mean_by_the_closed_form(log_prob, scale, t, xt):
    level = schedules.cosine(100)[t]
    got = guidance.classifier(oracle.denoise, log_prob, scale)(xt, level)
    wanted = gaussian(oracle.MEAN + scale * SLOPE * oracle.STD**2)(xt, level)
    np.testing.assert_allclose(got.x0, wanted.x0, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got.eps, wanted.eps, rtol=1e-3, atol=1e-4)


def test_classifier_guided_samples_have_the_shifted_mean(key):
    levels = schedules.descending(schedules.cosine(1000), 200)
    denoise = guidance.classifier(oracle.denoise, noised_log_prob, 2.0)
    keys = jax.random.split(key, 1500)
    x = solvers.starting_noise(levels, keys, (4, 4, 1))
    x0 = solvers.sample(solvers.ancestral(), denoise, levels, x, keys)
    shifted = oracle.MEAN + 2.0 * SLOPE * oracle.STD**2
    assert jnp.mean(x0) == pytest.approx(shifted, abs=0.02)
    assert jnp.std(x0) == pytest.approx(oracle.STD, abs=0.02)


def test_classifier_guidance_does_not_depend_on_the_batch(xt):
    """The gradient of the batch's mean would shrink with its size."""
    denoise = guidance.classifier(oracle.denoise, noised_log_prob, 3.0)
    together = denoise(jnp.concatenate([xt] * 8), LEVEL)
    alone = denoise(xt[:1], LEVEL)
    np.testing.assert_allclose(together.x0[:1], alone.x0, rtol=1e-6)
    np.testing.assert_allclose(together.eps[:1], alone.eps, rtol=1e-6)


@pytest.mark.parametrize(("ratio", "mean"), [(1.0, -0.2), (1.01, 0.8), (4.0, 0.8), (4.01, -0.2)])
def test_guidance_is_confined_to_its_interval(ratio, mean, xt):
    level = schedules.Level(jnp.float32(1.0), jnp.float32(0.5), jnp.float32(0.5 * ratio))
    denoise = guidance.interval(gaussian(0.8), gaussian(-0.2), sigma_low=1.0, sigma_high=4.0)
    np.testing.assert_allclose(denoise(xt, level).x0, gaussian(mean)(xt, level).x0, rtol=1e-5)
