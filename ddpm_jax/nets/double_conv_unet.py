"""A U-Net of plain double convolutions and multi-head attention at every resolution but one.

The network of the first of the five systems, with these departures: GroupNorm with one group instead
of BatchNorm (no mutable state), half-pixel bilinear upsampling instead of aligned corners, and the
last layer of each attention and of the net initialized to zero.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ddpm_jax.nets import blocks, resampling
from ddpm_jax.nets.attention import SelfAttention
from ddpm_jax.nets.convolution import Conv
from ddpm_jax.nets.embeddings import AddChanges, AddLabel, sinusoidal
from ddpm_jax.nets.normalization import Features, GroupNorm

ACTIVATIONS = {"gelu": nn.gelu, "relu": nn.relu}


class DoubleConv(nn.Module):
    """(3x3 convolution, activation, norm) twice, with `middle` channels in between."""

    features: int
    middle: int
    activation: str = "gelu"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "B H W {self.features}"]:
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"unknown activation {self.activation!r}; known: {known}")
        for index, features in enumerate((self.middle, self.features)):
            x = Conv(features, use_bias=False, dtype=self.dtype, name=f"conv_{index}")(x)
            x = ACTIVATIONS[self.activation](x)
            x = GroupNorm(1, dtype=self.dtype, name=f"norm_{index}")(x)
        return x


class AttentionMLP(nn.Module):
    """Self-attention, then a two-layer perceptron on each pixel, each added to its input."""

    kind: str
    num_heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Features:
        norm = partial(nn.LayerNorm, epsilon=1e-5)
        x = SelfAttention(self.kind, self.num_heads, norm=norm, dtype=self.dtype, name="attention")(
            x
        )
        h = blocks.conv1x1(x.shape[-1], dtype=self.dtype, name="mlp_0")(x)
        h = norm(dtype=self.dtype, name="mlp_norm")(nn.gelu(h))
        return x + blocks.zero_conv1x1(x.shape[-1], dtype=self.dtype, name="mlp_1")(h)


class DoubleConvUNet(nn.Module):
    """Max-pool down, bilinear up, t added after each; the defaults have 15.6 M parameters.

    multipliers: width of each level in units of `base_channels`; one halving fewer than levels.
    attention: the kind at all levels but the first on the way down, and at all on the way up; or `none`.
    """

    out_channels: int
    base_channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    attention: str = "softmax"
    num_heads: int = 4
    activation: str = "gelu"
    num_classes: int = 0
    num_changes: int = 0
    time_features: int = 256
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
        resampling.check_halvings(x, len(self.multipliers))
        embedding = sinusoidal(t, self.time_features).astype(self.dtype)
        embedding = AddLabel(self.num_classes, self.dtype, name="label")(embedding, label)
        embedding = AddChanges(self.num_changes, self.dtype, name="changes")(embedding, changes)

        def double(h: Array, features: int, middle: int, name: str) -> Array:
            return DoubleConv(features, middle, self.activation, self.dtype, name=name)(h)

        def condition(h: Array, name: str) -> Array:
            dense = nn.Dense(h.shape[-1], dtype=self.dtype, name=f"{name}_embedding")
            h = h + nn.silu(dense(embedding))[:, None, None]
            if self.attention == "none":
                return h
            name = f"{name}_attention"
            return AttentionMLP(self.attention, self.num_heads, self.dtype, name=name)(h)

        widths = [self.base_channels * multiplier for multiplier in self.multipliers]
        h = double(x.astype(self.dtype), widths[0], widths[0], "stem")
        skips = []
        for level, width in enumerate(widths[1:], start=1):
            skips.append(h)
            h = resampling.max_pool(h)
            h = condition(double(h, width, width, f"encoder_{level}"), f"encoder_{level}")
        for index, width in enumerate((2 * widths[-1], 2 * widths[-1], widths[-1])):
            h = double(h, width, width, f"middle_{index}")
        for level in reversed(range(len(widths) - 1)):
            h = jnp.concatenate([skips.pop(), resampling.bilinear(h)], axis=-1)
            h = double(h, widths[max(level - 1, 0)], h.shape[-1] // 2, f"decoder_{level}")
            h = condition(h, f"decoder_{level}")
        return blocks.zero_conv1x1(self.out_channels, name="head")(h.astype(jnp.float32))
