"""EDM: the network sees inputs and targets of unit variance (Karras et al. 2022, table 1).

Its noise levels have alpha = 1 and time is the noise level itself: t = sigma.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ddpm_jax.diffusion import process
from ddpm_jax.diffusion.losses import mse
from ddpm_jax.diffusion.predictions import Denoiser, Predict, Prediction, from_x0
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images


def denoiser(predict: Predict, sigma_data: float = 0.5) -> Denoiser:
    """D(x; sigma) = c_skip x + c_out F(c_in x; c_noise), eq. 7.

    F gets c_noise = log(sigma) / 4, about -1.6 to 1.1, in place of t. Levels may have any alpha: they
    are first rescaled to alpha = 1.
    """

    def denoise(xt: Images, level: Level) -> Prediction:
        wide = level.like(xt)
        sigma, x = wide.sigma / wide.alpha, xt / wide.alpha
        norm = jnp.sqrt(sigma**2 + sigma_data**2)
        c_noise = jnp.broadcast_to(jnp.log(level.sigma / level.alpha) / 4.0, xt.shape[:1])
        output = predict(x / norm, c_noise)
        x0 = (sigma_data / norm) ** 2 * x + sigma * sigma_data / norm * output
        return from_x0(xt, x0, level)

    return denoise


def loss(
    denoise: Denoiser, x0: Images, level: Level, eps: Images, sigma_data: float = 0.5
) -> Float[Array, " B"]:
    """The weighted error of the clean image, 1 at every level when training starts (eq. 8)."""
    sigma = level.sigma / level.alpha
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return weight * mse(denoise(process.noise(x0, level, eps), level).x0, x0)


def sample_levels(key: Key[Array, ""], num: int, mean: float = -1.2, std: float = 1.2) -> Level:
    """Training levels with normally distributed log(sigma)."""
    sigma = jnp.exp(mean + std * jax.random.normal(key, (num,)))
    return Level(t=sigma, alpha=jnp.ones_like(sigma), sigma=sigma)
