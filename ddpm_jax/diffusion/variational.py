"""One term of the variational bound (Ho et al. 2020, eq. 5), in bits per dimension.

It is used in training with a learned variance, and for the likelihood. Images have 256 gray values.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process
from ddpm_jax.diffusion.predictions import Prediction
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images

HALF_BIN = 1.0 / 255.0
"""Half the distance between two gray values in [-1, 1]."""


def term(
    prediction: Prediction, x0: Images, xt: Images, now: Level, nxt: Level, variance: str
) -> Float[Array, " B"]:
    """KL(q(x_nxt | x_now, x_0) || p(x_nxt | x_now)), or -log p(x_0 | x_now) where nxt is clean."""
    now, nxt = now.like(xt), nxt.like(xt)
    clean = nxt.sigma == 0.0
    mean, _ = process.posterior(xt, x0, now, nxt)
    mean_hat, _ = process.posterior(xt, prediction.x0, now, nxt)
    log_variance = process.reverse_log_variance("posterior", now, nxt)
    log_variance_hat = process.reverse_log_variance(
        variance, now, nxt, prediction.variance_fraction
    )
    kl = process.gaussian_kl(mean, log_variance, mean_hat, log_variance_hat)
    decoder = -discretized_log_likelihood(x0, mean_hat, log_variance_hat)
    return per_dimension(jnp.where(clean, decoder, kl))


def discretized_log_likelihood(
    x0: Images, mean: Images, log_variance: Float[Array, "..."]
) -> Images:
    """log of the Gaussian's mass on x0's gray value; the first and last bins reach to infinity.

    Ho et al. 2020, eq. 13, with log_ndtr, so that it neither underflows nor loses its gradient.
    """
    scale = jnp.exp(-0.5 * log_variance)
    far = 1e4
    upper = jnp.where(x0 > 1.0 - HALF_BIN, far, (x0 + HALF_BIN - mean) * scale)
    lower = jnp.where(x0 < -1.0 + HALF_BIN, -far, (x0 - HALF_BIN - mean) * scale)
    # The logarithm is exact in the left tail of the normal distribution, so flip to that side.
    flip = upper + lower > 0.0
    lower, upper = jnp.where(flip, -upper, lower), jnp.where(flip, -lower, upper)
    log_upper = log_ndtr(upper)
    return log_upper + jnp.log1p(-jnp.exp(log_ndtr(lower) - log_upper))


def per_dimension(nats: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """Mean over an image, in bits."""
    return jnp.mean(nats, axis=(1, 2, 3)) / np.log(2.0)
