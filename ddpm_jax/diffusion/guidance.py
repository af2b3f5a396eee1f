"""Guidance: from denoisers, a denoiser that leans towards a class. No solver knows of it.

Clip after guiding: `predictions.clipped(guidance.classifier_free(...))`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddpm_jax.diffusion.predictions import Denoiser, Prediction
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images

DenoisePair = Callable[[Images, Level], tuple[Prediction, Prediction]]
"""`(xt, level) -> (with the label, without)`."""


def classifier_free(cond: Denoiser, uncond: Denoiser, scale: float) -> Denoiser:
    """uncond + scale (cond - uncond): 1 is conditional, 0 unconditional, above 1 is guidance.

    Ho & Salimans 2022, eq. 6, whose w is scale - 1. With another class's denoiser for `uncond`, it
    pushes away from that class.
    """

    def denoise_pair(xt: Images, level: Level) -> tuple[Prediction, Prediction]:
        return cond(xt, level), uncond(xt, level)

    return classifier_free_pair(denoise_pair, scale)


def classifier_free_pair(denoise_pair: DenoisePair, scale: float) -> Denoiser:
    """`classifier_free` from one function that gives both predictions, such as `doubled`'s."""

    def denoise(xt: Images, level: Level) -> Prediction:
        cond, uncond = denoise_pair(xt, level)
        return Prediction(
            uncond.x0 + scale * (cond.x0 - uncond.x0), uncond.eps + scale * (cond.eps - uncond.eps)
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


def _twice(array):
    return jnp.concatenate([array, array])
