"""Residual blocks, resampling, and the moves between space and depth."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from ddpm_jax.nets.normalization import Features, GroupNorm

CONDITIONING = ("add", "film")

# Ho et al. 2020's initialization, Glorot's uniform, of everything that does not start at zero.
init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
conv1x1 = partial(nn.Conv, kernel_size=(1, 1), kernel_init=init)
conv3x3 = partial(nn.Conv, kernel_size=(3, 3), kernel_init=init)
zero_conv1x1 = partial(nn.Conv, kernel_size=(1, 1), kernel_init=nn.initializers.zeros)
zero_conv3x3 = partial(nn.Conv, kernel_size=(3, 3), kernel_init=nn.initializers.zeros)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, twice, beside a 1x1 shortcut where the width changes (Ho et al. 2020, B).

    conditioning: `add`s a projection of the embedding after the first convolution, or scales and
    shifts the second norm by it (`film`: Perez et al. 2018; Dhariwal & Nichol 2021, eq. 4).
    """

    features: int
    dropout: float = 0.0
    conditioning: str = "add"
    norm: Callable[..., nn.Module] = GroupNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Features, embedding: Float[Array, "B E"], *, train: bool = False
    ) -> Float[Array, "B H W {self.features}"]:
        if self.conditioning not in CONDITIONING:
            known = ", ".join(CONDITIONING)
            raise ValueError(f"unknown conditioning {self.conditioning!r}; known: {known}")
        h = nn.silu(self.norm(dtype=self.dtype, name="norm_0")(x))
        h = conv3x3(self.features, dtype=self.dtype, name="conv_0")(h)

        width = self.features * (2 if self.conditioning == "film" else 1)
        shift = nn.Dense(width, dtype=self.dtype, kernel_init=init, name="embedding")(embedding)
        norm = self.norm(dtype=self.dtype, name="norm_1")
        if self.conditioning == "film":
            h = norm(h, tuple(jnp.split(shift, 2, axis=-1)))
        else:
            h = norm(h + shift[:, None, None])
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.silu(h))
        h = zero_conv3x3(self.features, dtype=self.dtype, name="conv_1")(h)

        if x.shape[-1] != self.features:
            x = conv1x1(self.features, dtype=self.dtype, name="shortcut")(x)
        return x + h


class Downsample(nn.Module):
    """Halve the sides: a strided convolution (`conv`), or the mean of 2x2 pixels (`pool`)."""

    kind: str = "conv"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B h w C"]:
        if self.kind == "pool":
            return nn.avg_pool(x, (2, 2), strides=(2, 2))
        return conv3x3(x.shape[-1], strides=(2, 2), dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Double the sides by repetition; `conv` convolves after it, `pool` does not."""

    kind: str = "conv"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B h w C"]:
        x = nearest(x)
        if self.kind == "pool":
            return x
        return conv3x3(x.shape[-1], dtype=self.dtype, name="conv")(x)


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
