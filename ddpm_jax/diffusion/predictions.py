"""What a network predicts, and the one thing that everything else sees: a Denoiser.

A network outputs the noise (eps), the image (x0) or v = alpha eps - sigma x0 (Salimans & Ho 2022).
`denoiser` turns any of them into `(xt, level) -> Prediction(x0, eps)`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images


class Prediction(NamedTuple):
    """An estimate of the image and of the noise in xt; always `alpha x0 + sigma eps = xt`.

    `variance_fraction` is None except for networks that learn the reverse variance.
    """

    x0: Images
    eps: Images
    variance_fraction: Images | None = None


Predict = Callable[[Images, Float[Array, " B"]], Float[Array, "B H W out"]]
"""`(xt, t) -> raw`: a network with its parameters, labels and dropout key bound."""

Denoiser = Callable[[Images, Level], Prediction]
"""`(xt, level) -> Prediction`; the level is a scalar, or one per image."""


def denoiser(predict: Predict, kind: str) -> Denoiser:
    """The denoiser of a network that outputs `kind`: eps, x0 or v."""
    read = _reader(kind)

    def denoise(xt: Images, level: Level) -> Prediction:
        return read(xt, predict(xt, per_image_t(xt, level)), level)

    return denoise


def denoiser_with_variance(predict: Predict, kind: str) -> Denoiser:
    """`denoiser` for a network with twice the image's channels, the last half for the variance.

    Outputs -1 and 1 stand for the smallest and the largest variance. An output of 0, where a network
    starts, stands for their geometric mean (Nichol & Dhariwal 2021, eq. 15).
    """
    read = _reader(kind)

    def denoise(xt: Images, level: Level) -> Prediction:
        output, raw_variance = jnp.split(predict(xt, per_image_t(xt, level)), 2, axis=-1)
        prediction = read(xt, output, level)
        return prediction._replace(variance_fraction=(raw_variance + 1.0) / 2.0)

    return denoise


def per_image_t(xt: Images, level: Level) -> Float[Array, " B"]:
    """t as a network takes it: one number per image."""
    return jnp.broadcast_to(level.t, xt.shape[:1])


def from_eps(xt: Images, eps: Images, level: Level) -> Prediction:
    level = level.like(xt)
    return Prediction((xt - level.sigma * eps) / level.alpha, eps)


def from_x0(xt: Images, x0: Images, level: Level) -> Prediction:
    level = level.like(xt)
    return Prediction(x0, (xt - level.alpha * x0) / level.sigma)


def from_v(xt: Images, v: Images, level: Level) -> Prediction:
    level = level.like(xt)
    norm = level.alpha**2 + level.sigma**2  # 1 only where the process preserves the variance
    x0 = (level.alpha * xt - level.sigma * v) / norm
    return Prediction(x0, (level.sigma * xt + level.alpha * v) / norm)


def target(kind: str, x0: Images, eps: Images, level: Level) -> Images:
    """What a network of this kind should output; given a Prediction's x0 and eps, what it did output."""
    _reader(kind)
    level = level.like(x0)
    return {"eps": eps, "x0": x0, "v": level.alpha * eps - level.sigma * x0}[kind]


def clipped(denoise: Denoiser, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """Clip the estimated image (never xt) and give the noise that then explains xt."""

    def denoise_clipped(xt: Images, level: Level) -> Prediction:
        prediction = denoise(xt, level)
        x0, eps, _ = from_x0(xt, jnp.clip(prediction.x0, low, high), level)
        return prediction._replace(x0=x0, eps=eps)

    return denoise_clipped


_READERS = {"eps": from_eps, "x0": from_x0, "v": from_v}


def _reader(kind: str) -> Callable[[Images, Images, Level], Prediction]:
    if kind not in _READERS:
        raise ValueError(f"prediction kind {kind!r}; known are {', '.join(_READERS)}")
    return _READERS[kind]
