"""Training losses, one number per image, in float32; the caller takes the mean."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.diffusion import process, variational
from ddpm_jax.diffusion.predictions import Denoiser, Predict, per_image_t, target
from ddpm_jax.diffusion.schedules import Level
from ddpm_jax.types import Images

Distance = Callable[[Images, Images], Float[Array, " B"]]


def denoising(
    predict: Predict,
    x0: Images,
    level: Level,
    eps: Images,
    kind: str,
    distance: Distance | None = None,
) -> Float[Array, " B"]:
    """Noise x0 and compare the network's output with its target (Ho et al. 2020, eq. 14)."""
    return (distance or mse)(*output_and_target(predict, x0, level, eps, kind))


def output_and_target(
    predict: Predict, x0: Images, level: Level, eps: Images, kind: str
) -> tuple[Images, Images]:
    """What `denoising` compares."""
    xt = process.noise(x0, level, eps)
    return predict(xt, per_image_t(xt, level)), target(kind, x0, eps, level)


def variational_bound(
    denoise: Denoiser, x0: Images, eps: Images, now: Level, nxt: Level, num_steps: int
) -> Float[Array, " B"]:
    """L_vlb in bits/dim, from one of its num_steps terms, with learned variance.

    Nichol & Dhariwal 2021, eq. 4, without the prior's term, which has no parameters. The terms
    differ so much in size that t should be sampled by `timesteps.second_moment`.
    """
    xt = process.noise(x0, now, eps)
    return num_steps * variational.term(denoise(xt, now), x0, xt, now, nxt, "learned")


def hybrid(
    denoise: Denoiser,
    x0: Images,
    eps: Images,
    now: Level,
    nxt: Level,
    num_steps: int,
    kind: str,
    bound_weight: float = 1e-3,
) -> Float[Array, " B"]:
    """L_simple + weight L_vlb; L_vlb trains only the variance (Nichol & Dhariwal 2021, eq. 16)."""
    xt = process.noise(x0, now, eps)
    prediction = denoise(xt, now)
    simple = mse(target(kind, prediction.x0, prediction.eps, now), target(kind, x0, eps, now))
    frozen = prediction._replace(
        x0=jax.lax.stop_gradient(prediction.x0), eps=jax.lax.stop_gradient(prediction.eps)
    )
    bound = num_steps * variational.term(frozen, x0, xt, now, nxt, "learned")
    return simple + bound_weight * bound


def mse(estimate: Images, truth: Images) -> Float[Array, " B"]:
    return _mean(jnp.square(estimate - truth))


def squared_norm(estimate: Images, truth: Images) -> Float[Array, " B"]:
    """The sum over the image; `mse` is the mean."""
    return jnp.sum(jnp.square(estimate - truth), axis=(1, 2, 3))


def l1(estimate: Images, truth: Images) -> Float[Array, " B"]:
    return _mean(jnp.abs(estimate - truth))


def huber(estimate: Images, truth: Images, delta: float = 1.0) -> Float[Array, " B"]:
    """Quadratic up to an error of `delta`, then linear with the same slope."""
    error = jnp.abs(estimate - truth)
    quadratic = jnp.minimum(error, delta)
    return _mean(0.5 * quadratic**2 + delta * (error - quadratic))


def cosine(estimate: Images, truth: Images) -> Float[Array, " B"]:
    """1 - the cosine of the angle between the two images as vectors; 0 to 2."""
    a, b = (image.reshape(image.shape[0], -1) for image in (estimate, truth))
    # Bounded under the root: a network that starts at zero would get a gradient of 0 / 0.
    norms = jnp.sqrt(jnp.maximum(jnp.sum(a**2, axis=1) * jnp.sum(b**2, axis=1), 1e-6))
    return 1.0 - jnp.sum(a * b, axis=1) / norms


def combined(
    estimate: Images,
    truth: Images,
    mse_weight: float = 0.7,
    l1_weight: float = 0.15,
    cosine_weight: float = 0.15,
) -> Float[Array, " B"]:
    """A fixed sum of three distances."""
    return (
        mse_weight * mse(estimate, truth)
        + l1_weight * l1(estimate, truth)
        + cosine_weight * cosine(estimate, truth)
    )


class LossScales(NamedTuple):
    """Means of the two parts of `scheduled`, over a batch or running; running means start at 1."""

    mse: Float[Array, ""]
    l1: Float[Array, ""]

    def update(self, batch: "LossScales", decay: float = 0.99) -> "LossScales":
        """The running means after a batch."""
        mse, l1 = (decay * a + (1.0 - decay) * b for a, b in zip(self, batch, strict=True))
        return LossScales(mse, l1)


def scales_of(estimate: Images, truth: Images) -> LossScales:
    return LossScales(mse(estimate, truth).mean(), l1(estimate, truth).mean())


def scheduled(
    estimate: Images,
    truth: Images,
    progress: Float[Array, ""] | float,
    scales: LossScales,
) -> Float[Array, " B"]:
    """MSE giving way to L1, rescaled to the MSE, as `progress` goes from 0 to 1."""
    shift = 0.15 * progress
    ratio = jax.lax.stop_gradient(scales.mse / scales.l1)
    return (0.8 - shift) * mse(estimate, truth) + (0.2 + shift) * ratio * l1(estimate, truth)


def _mean(errors: Images) -> Float[Array, " B"]:
    return jnp.mean(errors, axis=(1, 2, 3))
