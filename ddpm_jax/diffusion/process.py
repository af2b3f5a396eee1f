"""The forward process q and its exact posterior, for any alpha and sigma.

With r = alpha_now / alpha_nxt, one step towards more noise is

    q(x_now | x_nxt) = N(r x_nxt, sigma_now^2 - r^2 sigma_nxt^2)

which for a variance-preserving table is N(sqrt(1 - beta) x_nxt, beta).
"""

import jax
from jaxtyping import Array, Float

from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images, Keys


def noise(x0: Images, level: Level, eps: Images) -> Images:
    """x_t from x_0 at once (Ho et al. 2020, eq. 4)."""
    level = level.like(x0)
    return level.alpha * x0 + level.sigma * eps


def gaussian(keys: Keys, shape: tuple[int, ...]) -> Float[Array, "B ..."]:
    """Standard normal noise of one shape per key, so that image i is the same in any batch."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def fold_in(keys: Keys, number: int | Array) -> Keys:
    """`jax.random.fold_in` of one number into each image's key."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def transition(now: Level, nxt: Level) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Factor and variance of q(x_now | x_nxt); the variance is beta for neighboring rows."""
    ratio = now.alpha / nxt.alpha
    return ratio, now.sigma**2 - ratio**2 * nxt.sigma**2


def posterior(
    xt: Images, x0: Images, now: Level, nxt: Level
) -> tuple[Images, Float[Array, "*broadcastable"]]:
    """Mean and variance of q(x_nxt | x_now, x_0) (Ho et al. 2020, eq. 7), nxt any cleaner level."""
    now, nxt = now.like(xt), nxt.like(xt)
    ratio, variance = transition(now, nxt)
    mean = nxt.alpha * variance / now.sigma**2 * x0 + ratio * nxt.sigma**2 / now.sigma**2 * xt
    return mean, variance * nxt.sigma**2 / now.sigma**2
