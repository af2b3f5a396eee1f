"""Noise level, class and augmentation -> one vector per image, which conditions every block."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

KINDS = ("sinusoidal", "mlp")


def sinusoidal(
    t: Float[Array, " B"], features: int, max_period: float = 10_000.0
) -> Float[Array, "B {features}"]:
    """Sines, then cosines, of t at frequencies 1 ... 1/max_period (Vaswani et al. 2017)."""
    if features % 2 or features < 4:
        raise ValueError(f"sinusoidal embedding wants an even number of features >= 4: {features}")
    half = features // 2
    frequencies = max_period ** -(jnp.arange(half, dtype=jnp.float32) / (half - 1))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class AddLabel(nn.Module):
    """Add the label's row of a table of K + 1 classes, the last the null class; K = 0: unconditional.

    A label outside 0..K reads as NaN, so that it stops a run instead of posing as a class.
    """

    num_classes: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, h: Float[Array, "B E"], label: Int[Array, " B"] | None
    ) -> Float[Array, "B E"]:
        if label is None:
            if self.num_classes:
                raise ValueError(f"a network of {self.num_classes} classes wants a label, got none")
            return h
        if not self.num_classes:
            raise ValueError("an unconditional network (num_classes=0) takes no label")
        # As large as the time embedding it is added to; Flax's default would be a tenth of that.
        init = nn.initializers.normal(1.0)
        table = nn.Embed(
            self.num_classes + 1, h.shape[-1], dtype=self.dtype, embedding_init=init, name="table"
        )
        return h + table(label)


class AddChanges(nn.Module):
    """Add a linear map of how each image was augmented (Karras et al. 2022, F.2); None: it was not.

    The map has no bias, so changes of zero add nothing. It begins at zero.
    """

    num_changes: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, h: Float[Array, "B E"], changes: Float[Array, "B A"] | None
    ) -> Float[Array, "B E"]:
        given = self.num_changes if changes is None else changes.shape[1]
        if given != self.num_changes:
            raise ValueError(
                f"the network takes {self.num_changes} changes of each image, got {given}"
            )
        if not self.num_changes:
            return h
        if changes is None:
            changes = jnp.zeros((len(h), self.num_changes))
        dense = nn.Dense(
            h.shape[-1],
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.zeros,
            name="map",
        )
        return h + dense(changes)


class Conditioning(nn.Module):
    """Embed t by an MLP, and add embeddings of the label and of the changes.

    kind: `sinusoidal` puts two layers on `frequencies` sines and cosines of t (Ho et al. 2020);
    `mlp` puts three on the bare number t / max_t, which should lie in [0, 1].
    """

    features: int
    frequencies: int
    num_classes: int = 0
    num_changes: int = 0
    kind: str = "sinusoidal"
    max_period: float = 10_000.0
    max_t: float = 1.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        t: Float[Array, " B"],
        label: Int[Array, " B"] | None = None,
        changes: Float[Array, "B A"] | None = None,
    ) -> Float[Array, "B {self.features}"]:
        if self.kind == "sinusoidal":
            h = sinusoidal(t, self.frequencies, self.max_period).astype(self.dtype)
            layers = 2
        elif self.kind == "mlp":
            h = (t / self.max_t).astype(self.dtype)[:, None]
            layers = 3
        else:
            raise ValueError(f"unknown time embedding {self.kind!r}; known: {', '.join(KINDS)}")
        for index in range(layers):
            h = nn.silu(h) if index else h
            h = nn.Dense(self.features, dtype=self.dtype, name=f"time_{index}")(h)
        h = AddLabel(self.num_classes, self.dtype, name="label")(h, label)
        return AddChanges(self.num_changes, self.dtype, name="changes")(h, changes)
