"""The only place that knows both uint8 pixels in [0, 255] and float images in [-1, 1]."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def to_float(pixels: UInt8[Array, "*shape"]) -> Float[Array, "*shape"]:
    """0 becomes -1, 255 becomes 1."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(images: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """Round to the nearest of the 256 values; clip values outside [-1, 1]. Inverse of `to_float`."""
    scaled = (images.astype(jnp.float32) + 1.0) * 127.5
    return jnp.clip(jnp.round(scaled), 0, 255).astype(jnp.uint8)
