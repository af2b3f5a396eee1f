"""The U-Net of Ho et al. 2020, and its later options."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ddpm_jax.nets import blocks, resampling
from ddpm_jax.nets.attention import SelfAttention
from ddpm_jax.nets.blocks import Downsample, ResidualBlock, Upsample
from ddpm_jax.nets.convolution import Conv
from ddpm_jax.nets.embeddings import Conditioning
from ddpm_jax.nets.normalization import Features, GroupNorm, RMSNorm

RESAMPLING = ("conv", "pool")

Block = Callable[[Array, int, str], Array]
"""`block(h, level, name)`, with the embedding bound."""


class UNet(nn.Module):
    """Residual blocks at halving resolutions, each with a skip to its mirror (Ho et al. 2020, B).

    The defaults are the paper's 35.7 M-parameter CIFAR-10 network.

    multipliers: width of each level in units of `base_channels`; one halving fewer than levels.
    attention_resolutions: row counts of the feature maps with attention; each must be a level's.
    attention: the kind at all of them, or one kind for each; `none` is also a kind.
    middle_attention: the kind between the two blocks at the bottom.
    num_heads: 0 divides the channels into heads of `head_channels`.
    head_channels: width of one head; 0 divides the channels among the heads.
    downsample_padding: see `blocks.Downsample`.
    num_classes: K; labels are then required, 0..K-1, or K for the null class. 0 is unconditional.
    num_changes: numbers that say how an image was augmented; none given: it was not.
    time_embedding: `sinusoidal` of t, or `mlp` of t / max_t (max_t: the number of steps).
    patch_size: side of the pixel blocks folded into channels before the net, and unfolded after it.
    dtype: the compute dtype; parameters, statistics, last convolution and output are float32.
    """

    out_channels: int
    base_channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    attention: str | tuple[str, ...] = "softmax"
    middle_attention: str = "softmax"
    num_heads: int = 1
    head_channels: int = 0
    dropout: float = 0.1
    num_classes: int = 0
    num_changes: int = 0
    conditioning: str = "add"
    norm: str = "group"
    num_groups: int = 32
    norm_epsilon: float = 1e-6
    resampling: str = "conv"
    downsample_padding: int = 0
    time_embedding: str = "sinusoidal"
    max_period: float = 10_000.0
    max_t: float = 1.0
    patch_size: int = 1
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
        kinds = self._attention(x)
        embedding = nn.silu(self._conditioning()(t, label, changes))

        def block(h: Array, level: int, name: str) -> Array:
            return self._block(self.multipliers[level], name)(h, embedding, train=train)

        h = resampling.space_to_depth(x, self.patch_size).astype(self.dtype)
        h = Conv(self.base_channels, dtype=self.dtype, name="stem")(h)
        skips = self._encode(h, block, kinds)
        h = block(skips[-1], -1, "middle_0")
        h = self._attend(h, self.middle_attention, "middle_attention")
        h = self._decode(block(h, -1, "middle_1"), skips, block, kinds)
        h = blocks.silu(self._norm()(dtype=jnp.float32, name="head_norm")(h))
        h = blocks.zero_conv(self.out_channels * self.patch_size**2, name="head")(h)
        return resampling.depth_to_space(h, self.patch_size)

    def _encode(self, h: Array, block: Block, kinds: list[str]) -> list[Array]:
        """Every feature map on the way down, for the skips on the way up."""
        skips = [h]
        for level, kind in enumerate(kinds):
            if level:
                h = Downsample(
                    self.resampling, self.downsample_padding, self.dtype, name=f"down_{level}"
                )(h)
                skips.append(h)
            for index in range(self.num_res_blocks):
                h = block(h, level, f"encoder_{level}_{index}")
                h = self._attend(h, kind, f"encoder_{level}_{index}_attention")
                skips.append(h)
        return skips

    def _decode(self, h: Array, skips: list[Array], block: Block, kinds: list[str]) -> Array:
        for level in reversed(range(len(kinds))):
            for index in range(self.num_res_blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = block(h, level, f"decoder_{level}_{index}")
                h = self._attend(h, kinds[level], f"decoder_{level}_{index}_attention")
            if level:
                h = Upsample(self.resampling, self.dtype, name=f"up_{level}")(h)
        return h

    def _attend(self, h: Array, kind: str, name: str) -> Array:
        if kind == "none":
            return h
        return SelfAttention(
            kind, self.num_heads, self.head_channels or None, self._norm(), self.dtype, name=name
        )(h)

    def _block(self, multiplier: int, name: str) -> nn.Module:
        return ResidualBlock(
            multiplier * self.base_channels,
            dropout=self.dropout,
            conditioning=self.conditioning,
            norm=self._norm(),
            dtype=self.dtype,
            name=name,
        )

    def _conditioning(self) -> nn.Module:
        return Conditioning(
            4 * self.base_channels,
            frequencies=self.base_channels,
            num_classes=self.num_classes,
            num_changes=self.num_changes,
            kind=self.time_embedding,
            max_period=self.max_period,
            max_t=self.max_t,
            dtype=self.dtype,
            name="conditioning",
        )

    def _norm(self) -> Callable[..., nn.Module]:
        norms: dict[str, Callable[..., nn.Module]] = {
            "group": partial(GroupNorm, self.num_groups, self.norm_epsilon),
            "rms": partial(RMSNorm, self.norm_epsilon),
        }
        if self.norm not in norms:
            raise ValueError(f"unknown norm {self.norm!r}; known: {', '.join(norms)}")
        return norms[self.norm]

    def _attention(self, x: Array) -> list[str]:
        """The kind of attention at each level; raises if the settings do not fit the image."""
        if self.resampling not in RESAMPLING:
            known = ", ".join(RESAMPLING)
            raise ValueError(f"unknown resampling {self.resampling!r}; known: {known}")
        height, width = x.shape[1:3]
        num_levels = len(self.multipliers)
        resampling.check_halvings(x, num_levels, self.patch_size)
        rows = [height // self.patch_size // 2**level for level in range(num_levels)]
        if missing := set(self.attention_resolutions) - set(rows):
            raise ValueError(
                f"attention_resolutions {sorted(missing)} are no level's: a {height}x{width} image"
                f" (patch_size {self.patch_size}) has feature maps of {rows} rows"
            )
        kinds = self.attention
        if isinstance(kinds, str):
            kinds = (kinds,) * len(self.attention_resolutions)
        if len(kinds) != len(self.attention_resolutions):
            raise ValueError(
                f"{len(kinds)} kinds of attention for {len(self.attention_resolutions)} resolutions"
            )
        by_rows = dict(zip(self.attention_resolutions, kinds, strict=True))
        return [by_rows.get(row, "none") for row in rows]
