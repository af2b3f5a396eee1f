"""Real images that a trained model changes: denoised from part of the way, holes filled in, mixed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import choice, denoising
from ddpm_jax.diffusion import editing, solvers
from ddpm_jax.models import trained
from ddpm_jax.types import Pixels

Mixes = UInt8[np.ndarray, "pairs weights H W C"]


class Program(NamedTuple):
    """What is compiled for one kind of change; all seeds and images of a shape share it."""

    t: float
    """Where the walk to a clean image begins."""
    walk: Callable[..., Any]
    """Of weights, images, labels and random numbers."""


class Denoised(NamedTuple):
    """Images noised to `t`, and these denoised again."""

    t: float
    noised: Pixels
    images: Pixels


def build_denoise(config: ConfigDict, model: trained.Model, share: float) -> Program:
    """`walk(weights, images, label, keys) -> (noised, denoised)`, from `share` of T."""
    levels = denoising.build_steps_from(config.sampling, model.table, share)
    solver = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def walk(params, image, label, keys):
        x0 = pixels.to_float(image)
        ask = denoising.build_denoiser(config, model.net, params, label)
        noised = editing.noised(levels, x0, keys)
        result = solvers.sample(solver, ask, levels, noised, keys)
        return pixels.to_uint8(noised), pixels.to_uint8(result)

    return Program(float(levels.t[0]), walk)


def denoise(
    config: ConfigDict,
    model: trained.Model,
    original: Pixels,
    labels: Int[np.ndarray, " N"],
    program: Program,
) -> Denoised:
    """Noise images and denoise them again (SDEdit, Meng et al. 2022), by `build_denoise`."""
    keys = jax.random.split(choice.key_for(config.seed, "denoise"), len(labels))
    given = (jnp.asarray(original), jnp.asarray(labels), keys)
    noised, result = program.walk(model.weights, *given)
    return Denoised(program.t, np.asarray(noised), np.asarray(result))


def build_fill(config: ConfigDict, model: trained.Model) -> Program:
    """`walk(weights, images, label, known, keys) -> images`, for any mask."""
    levels = denoising.build_steps(config.sampling, model.table)
    plain = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def walk(params, image, label, mask, keys):
        x0 = pixels.to_float(image)
        everywhere = jnp.broadcast_to(mask, (*x0.shape[:3], 1))
        ask = denoising.build_denoiser(config, model.net, params, label)
        solver = editing.inpaint(plain, x0, everywhere, config.editing.num_resamples)
        x = solvers.starting_noise(levels, keys, x0.shape[1:])
        return pixels.to_uint8(solvers.sample(solver, ask, levels, x, keys))

    return Program(float(levels.t[0]), walk)


def fill(
    config: ConfigDict,
    model: trained.Model,
    original: Pixels,
    labels: Int[np.ndarray, " N"],
    known: Float[np.ndarray, "#N H W 1"],
    program: Program,
    number: int = 0,
) -> Pixels:
    """Paint each image anew where `known` is 0 (RePaint, Lugmayr et al. 2022), with the noise of `number`.

    A step is taken `editing.num_resamples` times. `program` is that of `build_fill`.
    """
    stream = jax.random.fold_in(choice.key_for(config.seed, "inpaint"), number)
    keys = jax.random.split(stream, len(labels))
    given = (jnp.asarray(original), jnp.asarray(labels), jnp.asarray(known), keys)
    return np.asarray(program.walk(model.weights, *given))


def build_mix(config: ConfigDict, model: trained.Model, share: float, num_weights: int) -> Program:
    """`walk(weights, first, second, weight, label, keys) -> mixes`, a row of `num_weights` for each pair."""
    levels = denoising.build_steps_from(config.sampling, model.table, share)
    solver = denoising.build_solver(config.sampling, model.table)

    @jax.jit
    def walk(params, first, second, weight, label, keys):
        ask = denoising.build_denoiser(config, model.net, params, label)
        one, other = (pixels.to_float(jnp.repeat(x, num_weights, axis=0)) for x in (first, second))
        return pixels.to_uint8(editing.interpolate(solver, ask, levels, one, other, weight, keys))

    return Program(float(levels.t[0]), walk)


def mix(
    config: ConfigDict,
    model: trained.Model,
    first: Pixels,
    second: Pixels,
    labels: Int[np.ndarray, "2 pairs"],
    weights: Float[np.ndarray, " weights"],
    program: Program,
) -> Mixes:
    """Mix noised pairs of images and denoise the mixes (Ho et al. 2020, fig. 8), by `build_mix`.

    `weights` are the second image's, 0 to 1.
    """
    num_pairs, num_weights = len(first), len(weights)
    label = label_of_mix(config, model, labels, weights)
    # One key per row, so that only the weight changes along a row.
    keys = jax.random.split(choice.key_for(config.seed, "interpolate"), num_pairs)
    keys = jnp.repeat(keys, num_weights, axis=0)
    weight = jnp.tile(jnp.asarray(weights, jnp.float32), num_pairs)
    given = (jnp.asarray(first), jnp.asarray(second), weight, label, keys)
    made = np.asarray(program.walk(model.weights, *given))
    return made.reshape(num_pairs, num_weights, *first.shape[1:])


def label_of_mix(
    config: ConfigDict,
    model: trained.Model,
    labels: Int[np.ndarray, "2 pairs"],
    weights: Float[np.ndarray, " weights"],
) -> jax.Array:
    """No label, because a mix has none; the nearer image's if the network was not trained without one."""
    if model.net.num_classes and config.loss.label_dropout:
        return jnp.full(labels.shape[1] * len(weights), model.net.num_classes, jnp.int32)
    nearer = np.where(weights[None] < 0.5, labels[0][:, None], labels[1][:, None])
    return jnp.asarray(nearer.reshape(-1), jnp.int32)
