"""Changes of resolution without parameters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.nets.normalization import Features


def check_halvings(x: Array, num_levels: int, patch_size: int = 1) -> None:
    """Raise unless the levels divide the image's sides."""
    height, width = x.shape[1:3]
    multiple = patch_size * 2 ** (num_levels - 1)
    if height % multiple or width % multiple:
        raise ValueError(
            f"a {height}x{width} image does not halve over {num_levels} levels"
            f" (patch_size {patch_size}): its sides must be multiples of {multiple}"
        )


def bilinear(x: Features) -> Float[Array, "B 2*H 2*W C"]:
    """Double the sides, interpolating between the centers of pixels and repeating the edges."""
    for axis in (1, 2):
        last = x.shape[axis] - 1
        first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
        before = jnp.concatenate([first, jax.lax.slice_in_dim(x, 0, last, axis=axis)], axis)
        final = jax.lax.slice_in_dim(x, last, last + 1, axis=axis)
        after = jnp.concatenate([jax.lax.slice_in_dim(x, 1, last + 1, axis=axis), final], axis)
        pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * (last + 1), *x.shape[axis + 1 :])
    return x


def max_pool(x: Features) -> Float[Array, "B h w C"]:
    """The largest of every 2x2 pixels.

    It compares slices: on a CPU the gradient of XLA's own pooling takes over 20 times as long.
    """
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def nearest(x: Features) -> Float[Array, "B 2*H 2*W C"]:
    """Every pixel becomes 2x2 equal ones."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)


def space_to_depth(x: Features, factor: int) -> Float[Array, "B h w D"]:
    """Each factor x factor patch becomes one pixel; channels in the order row, column, channel."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, height // factor, width // factor, factor * factor * channels
    )


def depth_to_space(x: Features, factor: int) -> Float[Array, "B h w D"]:
    """The inverse of `space_to_depth`."""
    batch, height, width, channels = x.shape
    channels //= factor * factor
    x = x.reshape(batch, height, width, factor, factor, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * factor, width * factor, channels)
