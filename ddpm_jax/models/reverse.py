"""A trained model's way from noise to images, kept step by step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.diffusion import process, schedules, solvers
from ddpm_jax.models import trained

Frames = UInt8[np.ndarray, "_ B H W C"]
Walk = Callable[..., tuple[jax.Array, jax.Array]]
"""`walk(weights, label, start keys, chain keys) -> (x, x0_hat)`, uint8, with a leading axis of steps."""


def build_walk(config: ConfigDict, model: trained.Model, levels: schedules.Level) -> Walk:
    """Compiled; random numbers are arguments, so all seeds share one program."""
    solver = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def by_steps(weights, label, start_keys, chain_keys):
        denoise = denoising.build_denoiser(config, model.net, weights, label)
        x = solvers.starting_noise(levels, start_keys, datasets.image_shape(config))
        states = solvers.trajectory(solver, denoise, levels, x, chain_keys)
        return pixels.to_uint8(states.x), pixels.to_uint8(states.x0_hat)

    return by_steps


def walk(
    config: ConfigDict, model: trained.Model, levels: schedules.Level, labels: Int[np.ndarray, " B"]
) -> tuple[Frames, Frames]:
    """Images of these labels on their way from noise, and the estimates of x0 on that way."""
    keys = jax.random.split(choice.key_for(config.seed, "reverse"), len(labels))
    return _frames(build_walk(config, model, levels), model, labels, keys, keys)


def walk_to_samples(
    program: Walk, model: trained.Model, labels: Int[np.ndarray, " B"], seed: int
) -> tuple[Frames, Frames]:
    """The way to the images that `trained.build_draw` draws for "export"."""
    keys = trained.keys_of_images(choice.key_for(seed, "export"), jnp.arange(len(labels)))
    return _frames(program, model, labels, process.fold_in(keys, 0), process.fold_in(keys, 1))


def _frames(
    program: Walk,
    model: trained.Model,
    labels: Int[np.ndarray, " B"],
    start_keys: jax.Array,
    chain_keys: jax.Array,
) -> tuple[Frames, Frames]:
    label = jnp.asarray(labels, jnp.int32)
    x, x0_hat = program(model.weights, label, start_keys, chain_keys)
    return np.asarray(x), np.asarray(x0_hat)
