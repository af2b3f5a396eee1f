"""Normalization over channels in one pass, statistics in float32 whatever the compute dtype.

Both norms take a per-image `film` (scale, shift), folded into their own affine map: conditioning
costs no further pass over the feature map.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu import on_cpu, products

Features = Float[Array, "B H W C"]
Film = tuple[Float[Array, "B C"], Float[Array, "B C"]]


@on_cpu(products.repeat)
def _repeat(means: Float[Array, "B groups"], *, times: int) -> Float[Array, "B C"]:
    """Repeat each group's mean for each of its channels."""
    return jnp.repeat(means, times, axis=1)


class GroupNorm(nn.Module):
    """Group normalization (Wu & He 2018). Raises where the groups do not divide the channels."""

    num_groups: int = 32
    epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features, film: Film | None = None) -> Features:
        batch, _, _, channels = x.shape
        if channels % self.num_groups:
            raise ValueError(f"{channels} channels do not divide into {self.num_groups} groups")
        gain = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        x = x.astype(jnp.float32)

        # Reduce per channel first, along contiguous memory; grouping is then only [B, C] work.
        def per_group(channel_means):
            means = jnp.mean(channel_means.reshape(batch, self.num_groups, -1), axis=-1)
            return _repeat(means, times=channels // self.num_groups)

        mean = per_group(jnp.mean(x, axis=(1, 2)))
        # Rounding can take E[x^2] - E[x]^2 just below zero.
        variance = jnp.maximum(per_group(jnp.mean(jnp.square(x), axis=(1, 2))) - mean * mean, 0.0)
        scale = jax.lax.rsqrt(variance + self.epsilon) * gain[None]
        shift = bias[None] - mean * scale
        if film is not None:
            film_scale, film_shift = (part.astype(jnp.float32) for part in film)
            scale = scale * (1.0 + film_scale)
            shift = shift * (1.0 + film_scale) + film_shift
        return (x * scale[:, None, None] + shift[:, None, None]).astype(self.dtype)


class RMSNorm(nn.Module):
    """Root mean square over the channels of each pixel (Zhang & Sennrich 2019)."""

    epsilon: float = 1e-6
    dtype: DTypeLike = jnp.float32
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Features, film: Film | None = None) -> Features:
        gain = self.param("scale", self.scale_init, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        scale = jnp.broadcast_to(gain, (x.shape[0], x.shape[-1]))
        if film is None:
            return (x * scale[:, None, None]).astype(self.dtype)
        film_scale, film_shift = (part.astype(jnp.float32) for part in film)
        scale = scale * (1.0 + film_scale)
        return (x * scale[:, None, None] + film_shift[:, None, None]).astype(self.dtype)
