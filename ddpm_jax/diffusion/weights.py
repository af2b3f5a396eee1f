"""How much each noise level counts in the loss.

The literature states its weights for different losses. As weights on the x0 loss, with
SNR = alpha^2 / sigma^2 (Hang et al. 2023; Salimans & Ho 2022, sec. 4), they are:

    plain eps loss   SNR              truncated SNR   max(SNR, 1)
    plain x0 loss    1                min-SNR         min(SNR, gamma)
    plain v loss     SNR + 1          P2              SNR / (k + SNR)^gamma

The squared error of x0 is that of eps times 1 / SNR, and that of v times 1 / (SNR + 1). So the weight
on a network's own loss is the one above, divided by SNR or SNR + 1. All functions here return that:
`weight(level, kind)` is for a network that outputs `kind`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion.schedules import Level


def none(level: Level, kind: str) -> Float[Array, "*shape"]:
    """The network's own loss as it is."""
    return jnp.ones_like(level.t)


def snr(level: Level, kind: str) -> Float[Array, "*shape"]:
    """Weight like the plain eps loss, whatever the network outputs."""
    return _own(_snr(level), level, kind)


def truncated_snr(level: Level, kind: str) -> Float[Array, "*shape"]:
    """Weight like eps where there is more signal, like x0 where more noise (Salimans & Ho 2022).

    For a network that outputs eps the weight grows without bound as the signal vanishes.
    """
    return _own(jnp.maximum(_snr(level), 1.0), level, kind)


def min_snr(level: Level, kind: str, gamma: float = 5.0) -> Float[Array, "*shape"]:
    """Weight like eps up to an SNR of gamma, like x0 above it (Hang et al. 2023)."""
    return _own(jnp.minimum(_snr(level), gamma), level, kind)


def p2(level: Level, kind: str, gamma: float = 1.0, k: float = 1.0) -> Float[Array, "*shape"]:
    """Less weight where only imperceptible noise is left (Choi et al. 2022)."""
    return _own(_snr(level) / (k + _snr(level)) ** gamma, level, kind)


def _snr(level: Level) -> Float[Array, "*shape"]:
    return jnp.square(level.alpha / level.sigma)


def _own(x0_weight: Float[Array, "*shape"], level: Level, kind: str) -> Float[Array, "*shape"]:
    errors = {
        "eps": _snr(level),
        "x0": jnp.ones_like(level.t),
        # SNR + 1 where alpha^2 + sigma^2 = 1.
        "v": jnp.square((level.alpha**2 + level.sigma**2) / level.sigma),
    }
    if kind not in errors:
        raise ValueError(f"prediction kind {kind!r}; known are {', '.join(errors)}")
    return x0_weight / errors[kind]
