"""Training losses, one number per image, in float32; the caller takes the mean."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process
from ddpm_jax.diffusion.predictions import Predict, per_image_t, target
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images

PerImage = Float[Array, "B"]


def mse(estimate: Images, truth: Images) -> PerImage:
    return jnp.mean(jnp.square(estimate - truth), axis=(1, 2, 3))


def denoising(
    predict: Predict, x0: Images, level: Level, eps: Images, kind: str, distance=mse
) -> PerImage:
    """Noise x0 and compare the network's output with its target (Ho et al. 2020, eq. 14)."""
    xt = process.noise(x0, level, eps)
    return distance(predict(xt, per_image_t(xt, level)), target(kind, x0, eps, level))
