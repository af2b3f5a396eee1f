"""Guidance: combine denoisers into one that leans towards a class. No solver knows of it.

Clip after guiding: `predictions.clipped(guidance.classifier_free(...))`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion.predictions import Denoiser, Prediction
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images

Scale = float | Float[Array, ""]

DenoisePair = Callable[[Images, Level], tuple[Prediction, Prediction]]
"""`(xt, level) -> (with the label, without)`."""

LogProb = Callable[[Images, Level], Float[Array, " B"]]
"""`(xt, level) -> log p(y | xt)` of each image and the class wanted for it."""


def classifier_free(cond: Denoiser, uncond: Denoiser, scale: Scale) -> Denoiser:
    """uncond + scale (cond - uncond): 1 is conditional, 0 unconditional, above 1 is guidance.

    Ho & Salimans 2022, eq. 6, whose w is scale - 1. With another class's denoiser as `uncond`, it
    pushes away from that class. It suits two networks, such as one and a worse one (autoguidance,
    Karras et al. 2024); for a single network, `classifier_free_pair` needs one call for both.
    """

    def denoise_pair(xt: Images, level: Level) -> tuple[Prediction, Prediction]:
        return cond(xt, level), uncond(xt, level)

    return classifier_free_pair(denoise_pair, scale)


def classifier_free_pair(denoise_pair: DenoisePair, scale: Scale) -> Denoiser:
    """`classifier_free` from one function that gives both predictions, such as `doubled`'s."""

    def denoise(xt: Images, level: Level) -> Prediction:
        cond, uncond = denoise_pair(xt, level)
        return cond._replace(
            x0=uncond.x0 + scale * (cond.x0 - uncond.x0),
            eps=uncond.eps + scale * (cond.eps - uncond.eps),
        )

    return denoise


def doubled(denoise: Denoiser) -> DenoisePair:
    """Both predictions in one call on a batch of 2B.

    `denoise` has 2B labels bound: those of the B images, then B times the null class.
    """

    def denoise_pair(xt: Images, level: Level) -> tuple[Prediction, Prediction]:
        if level.t.ndim:
            level = jax.tree.map(_twice, level)
        both = denoise(_twice(xt), level)
        num = xt.shape[0]
        return jax.tree.map(lambda a: a[:num], both), jax.tree.map(lambda a: a[num:], both)

    return denoise_pair


def classifier(denoise: Denoiser, log_prob: LogProb, scale: Scale) -> Denoiser:
    """Guide towards images that a classifier of noised images assigns to the wanted class.

    eps - scale sigma grad log p(y | xt) (Dhariwal & Nichol 2021, alg. 2, whose sqrt(1 - alpha_bar)
    is sigma). The gradient is each image's own, whatever the size of the batch.
    """

    def denoise_guided(xt: Images, level: Level) -> Prediction:
        prediction = denoise(xt, level)
        gradient = jax.grad(lambda xt: jnp.sum(log_prob(xt, level)))(xt)
        wide = level.like(xt)
        return prediction._replace(
            x0=prediction.x0 + scale * wide.sigma**2 / wide.alpha * gradient,
            eps=prediction.eps - scale * wide.sigma * gradient,
        )

    return denoise_guided


def through_denoiser(
    denoise: Denoiser, log_prob: Callable[[Images], Float[Array, " B"]]
) -> LogProb:
    """Let a classifier of clean images judge the estimate of x0, for `classifier`."""
    return lambda xt, level: log_prob(denoise(xt, level).x0)


def interval(guided: Denoiser, plain: Denoiser, sigma_low: float, sigma_high: float) -> Denoiser:
    """Guide only where sigma_low < sigma / alpha <= sigma_high (Kynkäänniemi et al. 2024).

    Levels must be scalars, as solvers pass them: outside the interval `guided` is not evaluated.
    """

    def denoise(xt: Images, level: Level) -> Prediction:
        ratio = level.sigma / level.alpha
        inside = (ratio > sigma_low) & (ratio <= sigma_high)
        return jax.lax.cond(inside, guided, plain, xt, level)

    return denoise


def _twice(array):
    return jnp.concatenate([array, array])
