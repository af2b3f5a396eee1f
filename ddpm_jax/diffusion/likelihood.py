"""Two estimates of the bits per dimension of each image, with 256 gray values in [-1, 1].

`variational_bound` is an upper bound for the same chain that samples; `flow_log_likelihood` is the
density under deterministic sampling, up to the error of its steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process, variational
from ddpm_jax.diffusion.predictions import Denoiser
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images, Keys


class Bound(NamedTuple):
    """The three parts of the variational bound in bits/dim (Ho et al. 2020, eq. 5)."""

    prior: Float[Array, " B"]
    diffusion: Float[Array, " B"]
    decoder: Float[Array, " B"]

    @property
    def total(self) -> Float[Array, " B"]:
        return self.prior + self.diffusion + self.decoder


def variational_bound(
    denoise: Denoiser, levels: Level, x0: Images, keys: Keys, variance: str = "posterior"
) -> Bound:
    """The bound for ancestral sampling over `levels`, noisiest first, the last one clean.

    Every term is evaluated once, at one noise, so the mean over images has a Monte Carlo error.
    """

    def one_term(_, row):
        number, now, nxt = row
        noise = process.gaussian(process.fold_in(keys, number), x0.shape[1:])
        xt = process.noise(x0, now, noise)
        return None, variational.term(denoise(xt, now), x0, xt, now, nxt, variance)

    rows = jnp.arange(levels.num_steps), levels[:-1], levels[1:]
    _, terms = jax.lax.scan(one_term, None, rows)
    # Sampling starts from N(0, alpha^2 + sigma^2); see solvers.starting_noise.
    start = levels[0]
    log_norm = jnp.log(start.alpha**2 + start.sigma**2)
    prior = process.gaussian_kl(
        start.alpha * x0, 2.0 * jnp.log(start.sigma), jnp.zeros_like(x0), log_norm
    )
    return Bound(variational.per_dimension(prior), jnp.sum(terms[:-1], axis=0), terms[-1])


def flow_log_likelihood(
    denoise: Denoiser, levels: Level, x0: Images, keys: Keys, num_probes: int = 1
) -> Float[Array, " B"]:
    """log p(x0) in nats, by the change of variables along the flow (Song et al. 2021, eq. 39).

    With y = x / alpha and s = sigma / alpha the flow is dy/ds = eps, and log p changes by its
    divergence, estimated by Hutchinson's method with random signs. Heun's method steps over the
    sampling `levels`; spacing even in log-SNR is best. The flow starts at the least noisy level, not
    at the clean one, so the density is that of x0 with noise of that sigma.
    """
    probes = jax.vmap(lambda key: jax.random.rademacher(key, (num_probes, *x0.shape[1:])))(keys)
    probes = jnp.swapaxes(probes, 0, 1).astype(x0.dtype)

    def slope(y: Images, level: Level) -> tuple[Images, Float[Array, " B"]]:
        eps, push = jax.linearize(lambda y: denoise(level.alpha * y, level).eps, y)
        divergence = jax.vmap(lambda probe: jnp.sum(probe * push(probe), axis=(1, 2, 3)))(probes)
        return eps, jnp.mean(divergence, axis=0)

    def heun_step(state, row):
        y, change = state
        now, nxt = row
        width = nxt.sigma / nxt.alpha - now.sigma / now.alpha
        eps, divergence = slope(y, now)
        eps_end, divergence_end = slope(y + width * eps, nxt)
        y = y + width * (eps + eps_end) / 2.0
        return (y, change + width * (divergence + divergence_end) / 2.0), None

    upwards = levels[-2::-1]
    start = (x0, jnp.zeros(x0.shape[0]))
    (y, change), _ = jax.lax.scan(heun_step, start, (upwards[:-1], upwards[1:]))
    variance = 1.0 + jnp.square(levels.sigma[0] / levels.alpha[0])
    log_prior = -0.5 * (jnp.square(y) / variance + jnp.log(2.0 * np.pi * variance))
    return jnp.sum(log_prior, axis=(1, 2, 3)) + change


def dequantized(keys: Keys, x0: Images) -> Images:
    """Spread gray values evenly over their bins, so that a density can be compared with a mass."""
    half = variational.HALF_BIN
    shape = x0.shape[1:]
    return x0 + jax.vmap(lambda key: jax.random.uniform(key, shape, minval=-half, maxval=half))(
        keys
    )


def bits_per_dim(log_likelihood: Float[Array, " B"], num_dims: int) -> Float[Array, " B"]:
    """Bits/dim from the log density of dequantized images, whose bins are 2 / 255 wide."""
    return -log_likelihood / (num_dims * np.log(2.0)) - np.log2(2.0 * variational.HALF_BIN)
