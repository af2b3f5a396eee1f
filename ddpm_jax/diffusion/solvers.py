"""Samplers: steps from one noise level to a cleaner one, and the one loop that takes them.

A Solver is a pair of pure functions, as an optax optimizer is. It sees two levels at a time and
knows no schedule: the number of steps and their spacing are rows of `levels`, which
`schedules.descending` makes.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process, schedules
from ddpm_jax.diffusion.predictions import Denoiser
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images, Keys

Carry = Any

MOST_CHURN = math.sqrt(2.0) - 1.0
"""The upper limit of gamma in alg. 2 of Karras et al. 2022."""


class Solver(NamedTuple):
    """`init(x) -> carry` and `step(denoise, carry, x, now, nxt, keys) -> (x, carry)`."""

    init: Callable[[Images], Carry]
    step: Callable[[Denoiser, Carry, Images, Level, Level, Keys], tuple[Images, Carry]]


class Trajectory(NamedTuple):
    """All states of N steps: x from the start to the result, and the estimates of x0."""

    x: Float[Array, "N+1 B H W C"]
    x0_hat: Float[Array, "N B H W C"]


def starting_noise(levels: Level, keys: Keys, shape: tuple[int, ...]) -> Images:
    """What a sampler starts from: N(0, alpha^2 + sigma^2), one image per key."""
    return jnp.hypot(levels.alpha[0], levels.sigma[0]) * process.gaussian(keys, shape)


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
    """`sample`, but with every state on the way; calls the denoiser once more per step."""

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
    """Sample from p(x_nxt | x_now) (Ho et al. 2020, algorithm 2).

    `variance` is as in `process.reverse_log_variance`; no noise is added to a clean image.
    """
    if variance not in process.VARIANCES:
        raise ValueError(f"variance {variance!r}; known are {', '.join(process.VARIANCES)}")

    def step(denoise, carry, x, now, nxt, keys):
        prediction = denoise(x, now)
        mean, _ = process.posterior(x, prediction.x0, now, nxt)
        log_variance = process.reverse_log_variance(
            variance, now, nxt, prediction.variance_fraction
        )
        std = jnp.where(nxt.sigma > 0.0, jnp.exp(0.5 * log_variance), 0.0)
        return mean + std * process.gaussian(keys, x.shape[1:]), carry

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


def heun() -> Solver:
    """The probability-flow ODE by Heun's method, two calls per step (Karras et al. 2022, alg. 1).

    It is second order in sigma / alpha, so levels should be close in it: `spacing="karras"`. With few
    steps, evenly spaced t diverge: sigma / alpha falls a hundredfold in the first step.
    """

    def step(denoise, carry, x, now, nxt, keys):
        return _heun_step(denoise, x, now, nxt), carry

    return Solver(_no_carry, step)


def edm_stochastic(
    table: Level,
    churn: float = 0.41,
    sigma_min: float = 0.05,
    sigma_max: float = 50.0,
    noise_scale: float = 1.003,
) -> Solver:
    """Heun's method with some noise added before every step (Karras et al. 2022, alg. 2).

    `churn` is alg. 2's gamma, the fraction by which sigma / alpha rises: S_churn over the number of
    steps, at most sqrt(2) - 1, which adds as much noise as there was. `table` gives the network's t at
    the levels in between; none of them is noisier than its last row.
    """
    if not 0.0 <= churn <= MOST_CHURN:
        raise ValueError(f"churn {churn}; wanted from 0 to sqrt(2) - 1 = {MOST_CHURN:.4f}")

    def step(denoise, carry, x, now, nxt, keys):
        ratio = now.sigma / now.alpha
        active = (ratio >= sigma_min) & (ratio <= sigma_max)
        raised = schedules.at_log_snr(table, now.log_snr - 2.0 * math.log1p(churn))
        raised_ratio = raised.sigma / raised.alpha
        # At the table's end nothing is raised; the square root would magnify a rounding error.
        active = active & (raised_ratio > 1.0001 * ratio)
        raised = jax.tree.map(lambda a, b: jnp.where(active, a, b), raised, now)
        added = jnp.sqrt(jnp.where(active, raised_ratio**2 - ratio**2, 0.0)) * noise_scale
        noise = process.gaussian(keys, x.shape[1:])
        x = raised.alpha * (x / now.alpha + added * noise)
        return _heun_step(denoise, x, raised, nxt), carry

    return Solver(_no_carry, step)


def dpm_solver_pp_2m(stochastic: bool = False) -> Solver:
    """DPM-Solver++(2M), one call per step (Lu et al. 2022b, alg. 2).

    Two steps are first order, the same as DDIM's: the first, which has none before it, and a last one
    to a clean image, whose log-SNR is infinite. `stochastic` solves the diffusion's reverse SDE instead
    of its flow (SDE-DPM-Solver++(2M), the same paper's appendix): these two steps are then those of DDIM
    with eta 1.
    """

    def init(x):
        return jnp.zeros_like(x), jnp.float32(0.0)

    def step(denoise, carry, x, now, nxt, keys):
        x0 = denoise(x, now).x0
        x0_before, h_before = carry
        h = (nxt.log_snr - now.log_snr) / 2.0
        second_order = (h_before != 0.0) & jnp.isfinite(h)
        half = jnp.where(second_order, h, 0.0) / jnp.where(second_order, 2.0 * h_before, 1.0)
        extrapolated = x0 + half * (x0 - x0_before)
        shrink = nxt.sigma / now.sigma
        if not stochastic:
            return shrink * x + (nxt.alpha - shrink * now.alpha) * extrapolated, (x0, h)
        # The share of the noise's variance at `nxt` that is left of `now`'s: exp(-2 h).
        kept = (shrink * now.alpha / nxt.alpha) ** 2
        mean = shrink * jnp.sqrt(kept) * x + nxt.alpha * (1.0 - kept) * extrapolated
        noise = nxt.sigma * jnp.sqrt(1.0 - kept) * process.gaussian(keys, x.shape[1:])
        return mean + noise, (x0, h)

    return Solver(init, step)


def consistency() -> Solver:
    """The estimated image, noised again to the next level (Song et al. 2023, alg. 1).

    For a network trained with the loss of `consistency.py`, in one to four steps.
    """

    def step(denoise, carry, x, now, nxt, keys):
        x0 = denoise(x, now).x0
        return nxt.alpha * x0 + nxt.sigma * process.gaussian(keys, x.shape[1:]), carry

    return Solver(_no_carry, step)


def iterative_x0(noise: float = 0.05, above_t: float = 7.0) -> Solver:
    """x becomes the estimate of x0 itself, with a little noise after steps from t > above_t.

    It is like cold diffusion's naive sampler (Bansal et al. 2022, alg. 1). It does not follow the
    process that a network is trained on; it is kept to reproduce a system that samples this way.
    """

    def step(denoise, carry, x, now, nxt, keys):
        std = jnp.where((now.t > above_t) & (nxt.sigma > 0.0), noise, 0.0)
        return denoise(x, now).x0 + std * process.gaussian(keys, x.shape[1:]), carry

    return Solver(_no_carry, step)


def _heun_step(denoise: Denoiser, x: Images, now: Level, nxt: Level) -> Images:
    """In y = x / alpha and s = sigma / alpha the flow is dy/ds = eps."""
    clean = nxt.sigma == 0.0
    x0, eps = denoise(x, now)[:2]
    euler = nxt.alpha * x0 + nxt.sigma * eps
    # A clean image has no noise to predict; a step to it is Euler's, as in alg. 1.
    end = jax.tree.map(lambda a, b: jnp.where(clean, a, b), now, nxt)
    eps_end = denoise(jnp.where(clean, x, euler), end).eps
    distance = nxt.sigma - now.sigma * nxt.alpha / now.alpha
    return euler + jnp.where(clean, 0.0, distance / 2.0) * (eps_end - eps)


def _no_carry(x: Images) -> tuple[()]:
    return ()
