"""Guidance by an earlier checkpoint: two exact denoisers of Gaussians, one of which is too wide."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from ddpm_jax.assembly import denoising, training_fields
from ddpm_jax.assembly.denoising import Weights

MEAN, GOOD, BAD, SCALE = 0.3, 0.5, 0.8, 2.5


@pytest.fixture
def config():
    config = default.get_config()
    config.schedule.num_steps, config.loss.prediction = 100, "x0"
    config.sampling.autoguidance_scale, config.sampling.clip = SCALE, False
    return config


class Exact(nn.Module):
    """E[x0 | xt] of data N(MEAN, std^2), by Bayes' rule for two Gaussians; `std` is its parameter."""

    alpha: tuple[float, ...]
    sigma: tuple[float, ...]
    num_classes: int = 0

    @nn.compact
    def __call__(self, x, t, label=None, *, train=False):
        std, row = self.param("std", nn.initializers.ones, ()), t.astype(jnp.int32)
        alpha, sigma = (jnp.array(a)[row][:, None, None, None] for a in (self.alpha, self.sigma))
        gain = std**2 * alpha / (alpha**2 * std**2 + sigma**2)
        return MEAN + gain * (x - alpha * MEAN)


def asked(config, row, **weights):
    """The estimates of x0 for a row of pixels at level `row`, and the pixels' distance from the mean."""
    table = denoising.build_levels(config.schedule)
    net = Exact(tuple(table.alpha.tolist()), tuple(table.sigma.tolist()))
    given = {name: {"params": {"std": jnp.float32(std)}} for name, std in weights.items()}
    denoise = denoising.build_denoiser(config, net, Weights(**given), jnp.zeros(1, jnp.int32))
    x = jnp.linspace(-2.0, 2.0, 9).reshape(1, 1, 9, 1)
    level = table[row]
    return np.ravel(denoise(x, level).x0), np.ravel(x) - float(level.alpha) * MEAN, level


def gain(level, std):
    alpha, sigma = float(level.alpha), float(level.sigma)
    return std**2 * alpha / (alpha**2 * std**2 + sigma**2)


@pytest.mark.parametrize("row", [10, 60, 95])
def test_the_estimate_moves_on_from_the_worse_network(config, row):
    """Both are linear in xt: the gains extrapolate, and the mean stays."""
    found, off, level = asked(config, row, net=GOOD, bad=BAD)
    bad, good = gain(level, BAD), gain(level, GOOD)
    np.testing.assert_allclose(found, MEAN + (bad + SCALE * (good - bad)) * off, atol=1e-5)
    alone, _, _ = asked(config, row, net=GOOD)
    np.testing.assert_allclose(alone, MEAN + good * off, atol=1e-5)


def test_the_estimate_is_clipped_after_it_is_guided(config):
    plain, _, _ = asked(config, 60, net=BAD, bad=GOOD)
    config.sampling.clip = True
    clipped, _, _ = asked(config, 60, net=BAD, bad=GOOD)
    assert np.abs(plain).max() > 1.0
    np.testing.assert_allclose(clipped, np.clip(plain, -1, 1), atol=1e-5)


def test_outside_of_its_interval_there_is_no_guidance(config):
    config.sampling.guidance_interval = (0.1, 0.5)
    for row, scale in ((20, SCALE), (90, 1.0)):
        found, off, level = asked(config, row, net=GOOD, bad=BAD)
        assert (0.1 < level.sigma / level.alpha <= 0.5) == (row == 20)
        bad, good = gain(level, BAD), gain(level, GOOD)
        np.testing.assert_allclose(found, MEAN + (bad + scale * (good - bad)) * off, atol=1e-5)


def test_two_kinds_of_guidance_at_once_are_refused(config):
    config.sampling.guidance_scale = 3.0
    with pytest.raises(
        ValueError, match=r"autoguidance_scale is 2\.5 and a guidance scale .* is 3; "
    ):
        denoising.check_guidance(config)


def test_a_checkpoint_that_the_training_will_not_keep_is_refused_before_it(config):
    config.training.num_steps, config.training.save_every, config.training.keep = 1000, 100, 2
    for kept, sampled in (("900", "newest"), ("1000", "900"), ("900", "best")):
        config.sampling.autoguidance_checkpoint, config.sampling.checkpoint = kept, sampled
        training_fields.check_kept(config)
    for kept, sampled in (("1000", "newest"), ("900", "900")):
        config.sampling.autoguidance_checkpoint, config.sampling.checkpoint = kept, sampled
        with pytest.raises(ValueError, match="wanted another checkpoint than the one that is samp"):
            training_fields.check_kept(config)
    config.sampling.checkpoint = "newest"
    config.sampling.autoguidance_checkpoint = "400"
    with pytest.raises(ValueError, match=r"is '400', and the training keeps no .*save_every, 100"):
        training_fields.check_kept(config)
    config.training.keep_every = 200
    training_fields.check_kept(config)
    config.sampling.autoguidance_checkpoint = "500"
    with pytest.raises(ValueError, match="is '500', and the training keeps no"):
        training_fields.check_kept(config)
    config.sampling.autoguidance_scale = 1.0
    training_fields.check_kept(config)


@pytest.mark.parametrize("every", [-100, 150, 50])
def test_a_ladder_of_steps_that_are_not_saved_is_refused(config, every):
    config.training.save_every, config.training.keep_every = 100, every
    with pytest.raises(
        ValueError, match=f"keep_every is {every}; wanted 0 or a multiple of .*, 100"
    ):
        training_fields.check_kept(config)
