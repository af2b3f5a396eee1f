"""Consistency tuning: from a denoiser to a network that maps any x_t to the image in one call.

Geng et al. 2024, "Consistency Models Made Easy". Along the probability flow the network f should give
one image; at the clean end that image is x itself. So f at a level is trained towards what f gives at a
cleaner level `nxt` with the same noise. Early, `nxt` is the clean image, and the loss is that of a
denoiser; then the gap shrinks. The paper's noise level is the ratio sigma / alpha here.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ddpm_jax.diffusion import process
from ddpm_jax.diffusion.predictions import Denoiser
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images


def share_kept(
    ratio: Float[Array, "*shape"], progress: Float[Array, ""] | float, stages: int
) -> Float[Array, "*shape"]:
    """r / t, the cleaner level's share of the noisier one's sigma / alpha; 0 is the clean image.

    The mapping p(r | t) of the paper's sec. 3.3, 1 - n(t) / 2^a with n(t) = 1 + 8 sigmoid(-t). `progress`
    goes from 0 to 1; a is 1 in the first of the equal stages of the training and `stages` in the last.
    """
    stage = jnp.minimum(jnp.floor(progress * stages), stages - 1.0) + 1.0
    gap = (1.0 + 8.0 * jax.nn.sigmoid(-ratio)) / 2.0**stage
    return jnp.maximum(1.0 - gap, 0.0)


def cleaner(
    table: Level, t: Int[Array, "*shape"], progress: Float[Array, ""] | float, stages: int
) -> Level:
    """The row paired with row t: the noisiest that is no noisier than `share_kept` asks, below t."""
    ratio = table.sigma / table.alpha
    wanted = ratio[t] * share_kept(ratio[t], progress, stages)
    row = jnp.searchsorted(ratio, wanted, side="right", method="compare_all") - 1
    return table[jnp.clip(row, 0, t - 1)]


def loss(
    denoise: Denoiser, x0: Images, eps: Images, now: Level, nxt: Level, offset: float = 0.0
) -> Float[Array, " B"]:
    """The distance of f at `now` from f at `nxt`, divided by the difference of their sigma / alpha.

    No gradient passes through f at `nxt`; the clean image takes its place where `nxt` is clean. The
    distance is the mean square, or, with an `offset` c above 0, sqrt(mean square + c^2) - c (pseudo-Huber,
    Song & Dhariwal 2024, eq. 9, with the mean in place of the sum).
    """
    here = denoise(process.noise(x0, now, eps), now).x0
    clean = nxt.sigma == 0.0
    # A denoiser may divide by sigma: where the level is clean, any other one will do.
    safe = jax.tree.map(lambda a, b: jnp.where(clean, a, b), now, nxt)
    there = denoise(process.noise(x0, safe, eps), safe).x0
    target = jax.lax.stop_gradient(jnp.where(clean[:, None, None, None], x0, there))
    distance = jnp.mean(jnp.square(here - target), axis=(1, 2, 3))
    if offset:
        distance = jnp.sqrt(distance + offset**2) - offset
    return distance / (now.sigma / now.alpha - nxt.sigma / nxt.alpha)
