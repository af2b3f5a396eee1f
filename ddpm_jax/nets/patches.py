"""A U-Net that changes resolution by whole patches, with attention linear in the pixels.

The fifth system's network, fixed. In the original, attention replaced its input and its weights did
not sum to one (here `attention.SelfAttention`), refinement used BatchNorm, and three patches of 4
took 32x32 down to a single pixel.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ddpm_jax.nets import blocks, resampling
from ddpm_jax.nets.attention import SelfAttention
from ddpm_jax.nets.convolution import Conv
from ddpm_jax.nets.embeddings import Conditioning
from ddpm_jax.nets.normalization import Features, GroupNorm


class PatchConv(nn.Module):
    """Map each patch linearly to one pixel: a convolution whose kernel is as large as its stride.

    Zeros at the bottom and right complete the last patches.
    """

    features: int
    patch_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B h w {self.features}"]:
        pad = [(0, -side % self.patch_size) for side in x.shape[1:3]]
        x = jnp.pad(x, [(0, 0), *pad, (0, 0)])
        x = resampling.space_to_depth(x, self.patch_size)
        return blocks.conv1x1(self.features, dtype=self.dtype, name="conv")(x)


class PatchExpand(nn.Module):
    """Map each pixel linearly to a patch."""

    features: int
    patch_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B h w {self.features}"]:
        features = self.features * self.patch_size**2
        x = blocks.conv1x1(features, dtype=self.dtype, name="conv")(x)
        return resampling.depth_to_space(x, self.patch_size)


class NormedConvs(nn.Module):
    """(3x3 convolution, GroupNorm with one group, GELU) twice; `residual` adds x before the last GELU."""

    features: int
    residual: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B H W {self.features}"]:
        h = Conv(self.features, use_bias=False, dtype=self.dtype, name="conv_0")(x)
        h = nn.gelu(GroupNorm(1, dtype=self.dtype, name="norm_0")(h))
        h = Conv(self.features, use_bias=False, dtype=self.dtype, name="conv_1")(h)
        h = GroupNorm(1, dtype=self.dtype, name="norm_1")(h)
        return nn.gelu(x + h if self.residual else h)


class Refinement(nn.Module):
    """Correct a finished picture by residual blocks at full resolution, in float32."""

    num_blocks: int
    features: int = 64

    @nn.compact
    def __call__(self, picture: Features) -> Features:
        h = nn.relu(Conv(self.features, name="stem")(picture))
        for index in range(self.num_blocks):
            r = Conv(self.features, name=f"conv_{index}_0")(h)
            r = nn.relu(GroupNorm(1, name=f"norm_{index}_0")(r))
            r = Conv(self.features, name=f"conv_{index}_1")(r)
            h = nn.relu(h + GroupNorm(1, name=f"norm_{index}_1")(r))
        return picture + blocks.zero_conv(picture.shape[-1], name="head")(h)


class PatchUNet(nn.Module):
    """Levels one patch apart, each with two pairs of convolutions and one attention.

    multipliers: width of each level in units of `base_channels`; patch_sizes: the steps between levels.
    min_side: raises if the lowest feature map is smaller; 1 allows a single pixel.
    max_t: divisor of `t` for the `mlp` time embedding, that is, the number of steps.
    num_refine_blocks: residual blocks of the refinement head; 0 omits the head.
    """

    out_channels: int
    base_channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    patch_sizes: tuple[int, ...] = (2, 2, 2)
    min_side: int = 2
    attention: str = "linear_elu"
    num_heads: int = 8
    num_classes: int = 0
    num_changes: int = 0
    time_embedding: str = "mlp"
    max_t: float = 1.0
    num_refine_blocks: int = 2
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Features,
        t: Float[Array, " B"],
        label: Int[Array, " B"] | None = None,
        changes: Float[Array, "B A"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "B H W {self.out_channels}"]:
        self._check(x)
        embedding = nn.silu(
            Conditioning(
                4 * self.base_channels,
                frequencies=self.base_channels,
                num_classes=self.num_classes,
                num_changes=self.num_changes,
                kind=self.time_embedding,
                max_t=self.max_t,
                dtype=self.dtype,
                name="conditioning",
            )(t, label, changes)
        )

        def convs(h: Array, features: int, name: str) -> Array:
            h = NormedConvs(h.shape[-1], residual=True, dtype=self.dtype, name=f"{name}_0")(h)
            h = NormedConvs(features, dtype=self.dtype, name=f"{name}_1")(h)
            dense = nn.Dense(features, dtype=self.dtype, name=f"{name}_embedding")
            h = h + dense(embedding)[:, None, None]
            if self.attention == "none":
                return h
            norm = partial(GroupNorm, 1)
            return SelfAttention(
                self.attention, self.num_heads, None, norm, self.dtype, name=f"{name}_attention"
            )(h)

        widths = [self.base_channels * multiplier for multiplier in self.multipliers]
        h = NormedConvs(widths[0], dtype=self.dtype, name="stem")(x.astype(self.dtype))
        skips = []
        for level, (width, patch) in enumerate(zip(widths[1:], self.patch_sizes, strict=True), 1):
            skips.append(h)
            h = PatchConv(h.shape[-1], patch, self.dtype, name=f"down_{level}")(h)
            h = convs(h, width, f"encoder_{level}")
        for index, width in enumerate((2 * widths[-1], 2 * widths[-1], widths[-1])):
            h = NormedConvs(width, dtype=self.dtype, name=f"middle_{index}")(h)
        for level in reversed(range(len(self.patch_sizes))):
            skip, patch = skips.pop(), self.patch_sizes[level]
            h = PatchExpand(skip.shape[-1], patch, self.dtype, name=f"up_{level}")(h)
            h = jnp.concatenate([skip, h[:, : skip.shape[1], : skip.shape[2]]], axis=-1)
            h = convs(h, widths[max(level - 1, 0)], f"decoder_{level}")
        h = NormedConvs(widths[0], dtype=self.dtype, name="last")(h).astype(jnp.float32)
        picture = blocks.zero_conv1x1(self.out_channels, name="head")(h)
        if not self.num_refine_blocks:
            return picture
        return Refinement(self.num_refine_blocks, name="refinement")(picture)

    def _check(self, x: Array) -> None:
        if len(self.patch_sizes) != len(self.multipliers) - 1:
            raise ValueError(
                f"{len(self.multipliers)} levels want {len(self.multipliers) - 1} patch_sizes"
                f" between them, got {self.patch_sizes}"
            )
        height, width = x.shape[1:3]
        for patch in self.patch_sizes:
            height, width = -(-height // patch), -(-width // patch)
        if min(height, width) < self.min_side:
            raise ValueError(
                f"patches of {self.patch_sizes} take a {x.shape[1]}x{x.shape[2]} image down to"
                f" {height}x{width}, below min_side {self.min_side}: use fewer or smaller ones"
            )
