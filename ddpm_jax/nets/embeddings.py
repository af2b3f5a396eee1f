"""Noise level and class -> one vector an image, which conditions every block."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

KINDS = ("sinusoidal", "mlp")


def sinusoidal(
    t: Float[Array, "B"], features: int, max_period: float = 10_000.0
) -> Float[Array, "B features"]:
    """Sines, then cosines, of t at frequencies 1 ... 1/max_period (Vaswani et al. 2017)."""
    if features % 2 or features < 4:
        raise ValueError(f"sinusoidal embedding wants an even number of features >= 4: {features}")
    half = features // 2
    frequencies = max_period ** -(jnp.arange(half, dtype=jnp.float32) / (half - 1))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Conditioning(nn.Module):
    """Embed t by an MLP and add an embedding of the label.

    kind: `sinusoidal`, t in steps, of `frequencies` sines and cosines, then two layers (Ho et al.
    2020); or `mlp`, t a noise level of order one, three layers on the bare number.
    num_classes: K; the table has a row K + 1 for the null class. 0 is unconditional.
    """

    features: int
    frequencies: int
    num_classes: int = 0
    kind: str = "sinusoidal"
    max_period: float = 10_000.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, t: Float[Array, "B"], label: Int[Array, "B"] | None = None
    ) -> Float[Array, "B features"]:
        if self.kind == "sinusoidal":
            h = sinusoidal(t, self.frequencies, self.max_period).astype(self.dtype)
            layers = 2
        elif self.kind == "mlp":
            h = t.astype(self.dtype)[:, None]
            layers = 3
        else:
            raise ValueError(f"unknown time embedding {self.kind!r}; known: {', '.join(KINDS)}")
        for index in range(layers):
            h = nn.silu(h) if index else h
            h = nn.Dense(self.features, dtype=self.dtype, name=f"time_{index}")(h)
        if self.num_classes and label is None:
            raise ValueError(f"a network of {self.num_classes} classes wants a label, got none")
        if label is not None:
            if not self.num_classes:
                raise ValueError("an unconditional network (num_classes=0) takes no label")
            # A label outside 0..K reads as NaN, so it stops a run instead of posing as a class.
            h = h + nn.Embed(self.num_classes + 1, self.features, dtype=self.dtype, name="label")(
                label
            )
        return h
