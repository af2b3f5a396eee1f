"""A trained model's way from noise to images, kept step by step."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.diffusion import schedules, solvers
from ddpm_jax.models import trained

Frames = UInt8[np.ndarray, "_ B H W C"]


def walk(
    config: ConfigDict, model: trained.Model, levels: schedules.Level, labels: Int[np.ndarray, "B"]
) -> tuple[Frames, Frames]:
    """Images of these labels on their way from noise, and the estimates of x0 on that way."""
    keys = jax.random.split(choice.key_for(config.seed, "reverse"), len(labels))
    solver = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def by_steps(params, label):
        denoise = denoising.build_denoiser(config, model.net, params, label)
        x = solvers.starting_noise(levels, keys, datasets.image_shape(config))
        states = solvers.trajectory(solver, denoise, levels, x, keys)
        return pixels.to_uint8(states.x), pixels.to_uint8(states.x0_hat)

    x, x0_hat = by_steps(model.weights, jnp.asarray(labels, jnp.int32))
    return np.asarray(x), np.asarray(x0_hat)
