"""Samplers: how to go from one noise level to a cleaner one, and the one loop that does it.

A Solver is a pair of pure functions, as an optax optimizer is. It sees two levels at a time and
knows no schedule: the number of steps and their spacing are rows of `levels`, which
`schedules.descending` makes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process
from ddpm_jax.diffusion.predictions import Denoiser
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images, Keys

Carry = Any


class Solver(NamedTuple):
    """`init(x) -> carry` and `step(denoise, carry, x, now, nxt, keys) -> (x, carry)`."""

    init: Callable[[Images], Carry]
    step: Callable[[Denoiser, Carry, Images, Level, Level, Keys], tuple[Images, Carry]]


class Trajectory(NamedTuple):
    """All states of N steps: x from the start to the result, and what x0 was thought to be."""

    x: Float[Array, "N+1 B H W C"]
    x0_hat: Float[Array, "N B H W C"]


def starting_noise(levels: Level, keys: Keys, shape: tuple[int, ...]) -> Images:
    """What a sampler starts from: noise of the first level's sigma, one image per key."""
    return levels[0].sigma * process.gaussian(keys, shape)


def sample(solver: Solver, denoise: Denoiser, levels: Level, x: Images, keys: Keys) -> Images:
    """Walk `x` from `levels[0]` to `levels[-1]`. Image i depends on `keys[i]` alone.

    >>> levels = schedules.descending(schedules.cosine(1000), num_steps=50)
    >>> x = solvers.starting_noise(levels, keys, (28, 28, 1))
    >>> x0 = solvers.sample(solvers.ddim(eta=0.0), denoise, levels, x, keys)
    """

    def walk(state, row):
        return _step(solver, denoise, state, row, keys), None

    (x, _), _ = jax.lax.scan(walk, (x, solver.init(x)), _rows(levels))
    return x


def trajectory(
    solver: Solver, denoise: Denoiser, levels: Level, x: Images, keys: Keys
) -> Trajectory:
    """As `sample`, with every state on the way; asks the denoiser once more per step."""

    def walk(state, row):
        x0_hat = denoise(state[0], row[1]).x0
        state = _step(solver, denoise, state, row, keys)
        return state, (state[0], x0_hat)

    _, (xs, x0_hats) = jax.lax.scan(walk, (x, solver.init(x)), _rows(levels))
    return Trajectory(jnp.concatenate([x[None], xs]), x0_hats)


def _rows(levels: Level):
    return jnp.arange(levels.num_steps), levels[:-1], levels[1:]


def _step(solver: Solver, denoise: Denoiser, state, row, keys: Keys):
    x, carry = state
    number, now, nxt = row
    return solver.step(denoise, carry, x, now, nxt, process.fold_in(keys, number))


def ancestral(variance: str = "posterior") -> Solver:
    """Draw from p(x_nxt | x_now) (Ho et al. 2020, algorithm 2).

    `variance`: "posterior" is that of q(x_nxt | x_now, x_0), exact where the data is one point;
    "beta" is that of q(x_now | x_nxt), exact where the data is white noise (sec. 3.2).
    """
    variances = {
        "posterior": lambda posterior, transition: posterior,
        "beta": lambda posterior, transition: transition,
    }
    if variance not in variances:
        raise ValueError(f"ancestral variance {variance!r}; known are {', '.join(variances)}")

    def step(denoise, carry, x, now, nxt, keys):
        mean, posterior = process.posterior(x, denoise(x, now).x0, now, nxt)
        _, transition = process.transition(now, nxt)
        std = jnp.sqrt(variances[variance](posterior, transition))
        return mean + _unless_clean(nxt, std) * process.gaussian(keys, x.shape[1:]), carry

    return Solver(_no_carry, step)


def ddim(eta: float = 0.0) -> Solver:
    """Song, Meng & Ermon 2021, eq. 12 and 16; eta 0 is deterministic, 1 is ancestral sampling."""

    def step(denoise, carry, x, now, nxt, keys):
        x0, eps = denoise(x, now)[:2]
        if eta == 0.0:
            return nxt.alpha * x0 + nxt.sigma * eps, carry
        _, transition = process.transition(now, nxt)
        variance = eta**2 * transition * nxt.sigma**2 / now.sigma**2
        direction = jnp.sqrt(jnp.maximum(nxt.sigma**2 - variance, 0.0))
        mean = nxt.alpha * x0 + direction * eps
        return mean + jnp.sqrt(variance) * process.gaussian(keys, x.shape[1:]), carry

    return Solver(_no_carry, step)


def _no_carry(x: Images) -> tuple[()]:
    return ()


def _unless_clean(nxt: Level, std: Float[Array, ""]) -> Float[Array, ""]:
    """No noise into the result: Ho et al. 2020, algorithm 2, line 3."""
    return jnp.where(nxt.sigma > 0.0, std, 0.0)
