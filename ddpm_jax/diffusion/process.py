"""The forward process q and its exact posterior, for any alpha and sigma.

With r = alpha_now / alpha_nxt, one step towards more noise is

    q(x_now | x_nxt) = N(r x_nxt, sigma_now^2 - r^2 sigma_nxt^2)

which for a variance-preserving table is N(sqrt(1 - beta) x_nxt, beta).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images, Keys


def noise(x0: Images, level: Level, eps: Images) -> Images:
    """x_t from x_0 in one step (Ho et al. 2020, eq. 4)."""
    level = level.like(x0)
    return level.alpha * x0 + level.sigma * eps


def gaussian(keys: Keys, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
    """Standard normal noise of one shape per key, so that image i is the same in any batch."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def offset_gaussian(keys: Keys, shape: tuple[int, ...], strength: float) -> Images:
    """Noise whose mean differs from image to image and channel to channel, by `strength`.

    A network trained on it learns to change the brightness of a whole image ("offset noise",
    Guttenberg 2023, who uses 0.1).
    """
    height_width = (1,) * (len(shape) - 1)
    offset = gaussian(fold_in(keys, 1), (*height_width, shape[-1]))
    return gaussian(fold_in(keys, 0), shape) + strength * offset


def fold_in(keys: Keys, number: int | Array) -> Keys:
    """Fold one number into each image's key, as `jax.random.fold_in`."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def transition(now: Level, nxt: Level) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Factor and variance of q(x_now | x_nxt); the variance is beta for neighboring rows."""
    ratio = now.alpha / nxt.alpha
    return ratio, now.sigma**2 - ratio**2 * nxt.sigma**2


def posterior(
    xt: Images, x0: Images, now: Level, nxt: Level
) -> tuple[Images, Float[Array, "*broadcastable"]]:
    """Mean and variance of q(x_nxt | x_now, x_0) for any cleaner nxt (Ho et al. 2020, eq. 7)."""
    now, nxt = now.like(xt), nxt.like(xt)
    ratio, variance = transition(now, nxt)
    mean = nxt.alpha * variance / now.sigma**2 * x0 + ratio * nxt.sigma**2 / now.sigma**2 * xt
    return mean, variance * nxt.sigma**2 / now.sigma**2


VARIANCES = ("posterior", "beta", "learned")


def reverse_log_variance(
    variance: str, now: Level, nxt: Level, fraction: Images | None = None
) -> Float[Array, "..."]:
    """Log variance of a sampler's step to nxt.

    "posterior" is that of q(x_nxt | x_now, x_0), exact if the data is one point. "beta" is that of
    q(x_now | x_nxt), exact if the data is white noise (Ho et al. 2020, sec. 3.2). "learned" is
    `fraction` of the way from the first to the second (Nichol & Dhariwal 2021, eq. 15). The
    posterior of a clean nxt is a point: there all three equal "beta", which a decoder needs.
    """
    if variance not in VARIANCES:
        raise ValueError(f"variance {variance!r}; known are {', '.join(VARIANCES)}")
    _, transition_variance = transition(now, nxt)
    large = jnp.log(transition_variance)
    shrink = jnp.where(nxt.sigma > 0.0, nxt.sigma / now.sigma, 1.0)
    small = large + 2.0 * jnp.log(shrink)
    if variance != "learned":
        return {"posterior": small, "beta": large}[variance]
    if fraction is None:
        raise ValueError("variance 'learned' needs predictions.denoiser_with_variance")
    return fraction * large + (1.0 - fraction) * small


def gaussian_kl(
    mean: Float[Array, "..."],
    log_variance: Float[Array, "..."],
    other_mean: Float[Array, "..."],
    other_log_variance: Float[Array, "..."],
) -> Float[Array, "..."]:
    """KL(N(mean, variance) || N(other_mean, other_variance)) per element, in nats."""
    gap = log_variance - other_log_variance
    distance = jnp.square(mean - other_mean) * jnp.exp(-other_log_variance)
    return 0.5 * (jnp.exp(gap) - 1.0 - gap + distance)
