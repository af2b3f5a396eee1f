"""Sampling that starts from images: partial denoising, inpainting, interpolation, encoding.

Pass what `noised` or `encode` returns to `solvers.sample` to get images.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process, solvers
from ddpm_jax.diffusion.predictions import Denoiser
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.diffusion.solvers import Solver
from ddpm_jax.types import Images, Keys


def below(levels: Level, t: float) -> Level:
    """The slice of `levels` for a sampler that starts at t instead of at noise."""
    start = int(np.argmax(np.asarray(levels.t) <= t))
    if t <= 0.0 or start == levels.num_steps:
        raise ValueError(f"t {t}; the least noisy start of these levels is {levels.t[-2]}")
    return levels[start:]


def noised(levels: Level, x0: Images, keys: Keys) -> Images:
    """Noise images to the first of the levels, to denoise them again (SDEdit, Meng et al. 2022)."""
    return process.noise(x0, levels[0], process.gaussian(_named(keys, "start"), x0.shape[1:]))


def inpaint(
    solver: Solver, known: Images, mask: Float[Array, "B H W #C"], num_resamples: int = 1
) -> Solver:
    """Keep `known` where `mask` is 1 and fill in the rest (RePaint, Lugmayr et al. 2022, alg. 1).

    Every step is taken `num_resamples` times, going back with fresh noise in between, so that the
    filled part can come to agree with the known part.
    """
    if num_resamples < 1:
        raise ValueError(f"num_resamples {num_resamples}; at least 1 is needed")

    def step(denoise, carry, x, now, nxt, keys):
        ratio, variance = process.transition(now, nxt)

        def take(number, state):
            x, _, _ = state
            attempt = process.fold_in(keys, number)
            filled, new_carry = solver.step(denoise, carry, x, now, nxt, attempt)
            noise = process.gaussian(_named(attempt, "known"), x.shape[1:])
            merged = mask * process.noise(known, nxt, noise) + (1.0 - mask) * filled
            back = process.gaussian(_named(attempt, "back"), x.shape[1:])
            return ratio * merged + jnp.sqrt(variance) * back, merged, new_carry

        _, x, carry = jax.lax.fori_loop(0, num_resamples, take, (x, x, carry))
        return x, carry

    return Solver(solver.init, step)


def slerp(first: Images, second: Images, weight: Float[Array, " B"]) -> Images:
    """Interpolate on the great circle (Shoemake 1985), which keeps the length, and so noise's variance.

    A straight line does not: halfway between two noises the variance is half of theirs.
    """
    weight = weight.reshape(-1, 1, 1, 1)

    def inner(a, b):
        return jnp.sum(a * b, axis=(1, 2, 3), keepdims=True)

    norms = jnp.sqrt(inner(first, first) * inner(second, second))
    cosine = jnp.clip(inner(first, second) / jnp.maximum(norms, 1e-12), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    # Images in (nearly) one direction: the circle is a line.
    parallel = jnp.sin(angle) < 1e-4
    angle = jnp.where(parallel, 1.0, angle)

    def share(part):
        return jnp.where(parallel, part, jnp.sin(part * angle) / jnp.sin(angle))

    return share(1.0 - weight) * first + share(weight) * second


def interpolate(
    solver: Solver,
    denoise: Denoiser,
    levels: Level,
    first: Images,
    second: Images,
    weight: Float[Array, " B"],
    keys: Keys,
) -> Images:
    """Noise two images to the first of the levels, mix them, denoise (Ho et al. 2020, fig. 8).

    The paper mixes on a straight line, this function on the great circle.
    For a row of weights between the same two images, give each image of the row the same key.
    """
    shape = first.shape[1:]
    first = process.noise(first, levels[0], process.gaussian(_named(keys, "first"), shape))
    second = process.noise(second, levels[0], process.gaussian(_named(keys, "second"), shape))
    return solvers.sample(solver, denoise, levels, slerp(first, second, weight), keys)


def encode(solver: Solver, denoise: Denoiser, levels: Level, x0: Images, keys: Keys) -> Images:
    """The noise from which `sample` with a deterministic solver returns to x0.

    `levels` are noisiest first, as for sampling. The clean row has no noise to follow, so the first
    step uses the noise at the least noisy level; the error is of the order of its sigma^2.
    """
    first = levels[levels.num_steps - 1]
    x = first.alpha * x0
    x = x + first.sigma * denoise(x, first).eps
    return solvers.sample(solver, denoise, levels[-2::-1], x, keys)


_STREAMS = ("start", "known", "back", "first", "second")


def _named(keys: Keys, name: str) -> Keys:
    """A stream of keys separate from those of the solver's steps, which count from 0."""
    return process.fold_in(keys, jnp.uint32(2**31 + _STREAMS.index(name)))
