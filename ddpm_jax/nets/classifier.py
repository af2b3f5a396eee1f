"""Image classifiers, for clean images or, with the noise level as a second input, for noisy ones.

None keeps mutable state: normalization, where used, is GroupNorm.
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from ddpm_jax.nets import embeddings
from ddpm_jax.nets.convolution import Conv
from ddpm_jax.nets.normalization import Features, GroupNorm
from ddpm_jax.nets.resampling import max_pool

conv3x3 = partial(Conv, kernel_init=nn.initializers.he_normal())


class Classifier(nn.Module):
    """A trunk that yields features [B, D], and a linear head on them.

    noise_level: the network requires t, in steps.
    """

    trunk: nn.Module
    num_classes: int
    noise_level: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.head = nn.Dense(self.num_classes)
        if self.noise_level:
            self.conditioning = embeddings.Conditioning(128, frequencies=64, dtype=self.dtype)

    def __call__(
        self, x: Features, t: Float[Array, " B"] | None = None, *, train: bool = False
    ) -> Float[Array, "B K"]:
        return self.head(self.features(x, t, train=train))

    def features(
        self, x: Features, t: Float[Array, " B"] | None = None, *, train: bool = False
    ) -> Float[Array, "B D"]:
        """The input of the linear head."""
        if self.noise_level != (t is not None):
            wanted, got = ("a", "none") if self.noise_level else ("no", "one")
            raise ValueError(f"this classifier wants {wanted} noise level t, got {got}")
        embedding = None if t is None else nn.silu(self.conditioning(t))
        return self.trunk(x.astype(self.dtype), embedding, train=train).astype(jnp.float32)


class FourConvTrunk(nn.Module):
    """Two convolutions and a max-pool with 32 channels, the same with 64, then 128 units."""

    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Features, embedding: Float[Array, "B E"] | None, *, train: bool = False
    ) -> Float[Array, "B 128"]:
        height, width = x.shape[1:3]
        if height % 4 or width % 4:
            raise ValueError(f"a {height}x{width} image does not halve twice: wants multiples of 4")
        for stage, channels in enumerate((32, 64)):
            for index in range(2):
                x = conv3x3(channels, dtype=self.dtype, name=f"conv_{stage}_{index}")(x)
                if embedding is not None and not index:
                    dense = nn.Dense(channels, dtype=self.dtype, name=f"noise_{stage}")
                    x = x + dense(embedding)[:, None, None]
                x = nn.relu(x)
            x = max_pool(x)
        x = nn.Dense(128, dtype=self.dtype, name="hidden")(x.reshape(x.shape[0], -1))
        return nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))


class ResNetTrunk(nn.Module):
    """Pre-activation residual blocks (He et al. 2016b), one width per stage, mean over pixels."""

    widths: tuple[int, ...] = (32, 64, 128)
    blocks_per_stage: int = 2
    num_groups: int = 8
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Features, embedding: Float[Array, "B E"] | None, *, train: bool = False
    ) -> Float[Array, "B D"]:
        norm = partial(GroupNorm, self.num_groups, dtype=self.dtype)
        x = conv3x3(self.widths[0], dtype=self.dtype, name="stem")(x)
        for stage, channels in enumerate(self.widths):
            for index in range(self.blocks_per_stage):
                name = f"block_{stage}_{index}"
                stride = 2 if stage and not index else 1
                h = nn.relu(norm(name=f"{name}_norm_0")(x))
                if x.shape[-1] != channels or stride > 1:
                    shortcut = nn.Dense(channels, dtype=self.dtype, name=f"{name}_shortcut")
                    x = shortcut(h[:, ::stride, ::stride])
                h = conv3x3(channels, stride=stride, dtype=self.dtype, name=f"{name}_conv_0")(h)
                if embedding is not None:
                    shift = nn.Dense(channels, dtype=self.dtype, name=f"{name}_noise")(embedding)
                    h = h + shift[:, None, None]
                h = nn.relu(norm(name=f"{name}_norm_1")(h))
                x = x + conv3x3(channels, dtype=self.dtype, name=f"{name}_conv_1")(h)
        x = jnp.mean(nn.relu(norm(name="norm")(x)), axis=(1, 2))
        return nn.Dropout(self.dropout, deterministic=not train)(x)


def four_conv(
    num_classes: int,
    *,
    dropout: float = 0.0,
    noise_level: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> Classifier:
    """The classifier of the first of the five systems, for images whose sides are multiples of 4."""
    return Classifier(FourConvTrunk(dropout, dtype), num_classes, noise_level, dtype)


def resnet(
    num_classes: int,
    *,
    widths: tuple[int, ...] = (32, 64, 128),
    blocks_per_stage: int = 2,
    dropout: float = 0.0,
    noise_level: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> Classifier:
    """A compact ResNet, for images of any size."""
    trunk = ResNetTrunk(widths, blocks_per_stage, dropout=dropout, dtype=dtype)
    return Classifier(trunk, num_classes, noise_level, dtype)
