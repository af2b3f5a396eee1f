"""Self-attention over the pixels of a feature map: softmax, and two kinds of linear cost.

Every kind is a convex combination of the values: the weights of a query sum to one over the keys.
The linear kinds weigh by <a(q_i), b(k_j)> with a normalized over features and b over positions
(Shen et al. 2021, "Efficient Attention", eq. 4), so the sum over j can be taken first.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from ddpm_jax.nets.convolution import Dense, init
from ddpm_jax.nets.normalization import Features, RMSNorm

Heads = Float[Array, "B N heads D"]


def softmax(q: Heads, k: Heads, v: Heads) -> Heads:
    """softmax(q k / sqrt D) v, over keys and in float32 (Vaswani et al. 2017, eq. 1)."""
    scale = q.shape[-1] ** -0.5
    q, k, v = (part.swapaxes(1, 2) for part in (q * scale, k, v))
    weights = jax.nn.softmax(_logits(q, k.swapaxes(2, 3)), axis=-1).astype(v.dtype)
    return jnp.matmul(weights, v).swapaxes(1, 2)


@jax.custom_jvp
def _logits(q: Float[Array, "B heads N D"], k: Float[Array, "B heads D N"]) -> Array:
    """q k in float32; the gradients' products are in the dtype of q and k."""
    return jnp.matmul(q, k, preferred_element_type=jnp.float32)


@_logits.defjvp
def _logits_jvp(primals, tangents):
    (q, k), (dq, dk) = primals, tangents
    return _logits(q, k), (dq @ k + q @ dk).astype(jnp.float32)


def linear_softmax(q: Heads, k: Heads, v: Heads) -> Heads:
    """q softmaxed over features, k over positions (Shen et al. 2021)."""
    q = jax.nn.softmax(q.astype(jnp.float32), axis=-1)
    k = jax.nn.softmax(k.astype(jnp.float32), axis=1)
    return _linear(q, k, v)


def linear_elu(q: Heads, k: Heads, v: Heads) -> Heads:
    """elu + 1 (Katharopoulos et al. 2020, eq. 7) of q over features, of k over positions."""
    q = jax.nn.elu(q.astype(jnp.float32)) + 1.0
    k = jax.nn.elu(k.astype(jnp.float32)) + 1.0
    q = q / jnp.sum(q, axis=-1, keepdims=True)
    k = k / jnp.sum(k, axis=1, keepdims=True)
    return _linear(q, k, v)


def _linear(q: Heads, k: Heads, v: Heads) -> Heads:
    q, k = q.astype(v.dtype), k.astype(v.dtype)
    context = jnp.einsum("bnhd,bnhe->bhde", k, v)
    return jnp.einsum("bnhd,bhde->bnhe", q, context)


KINDS = {"softmax": softmax, "linear_softmax": linear_softmax, "linear_elu": linear_elu}


class SelfAttention(nn.Module):
    """x + attention(norm(x)); the attention branch is zero at initialization.

    num_heads: 0 divides the input's channels into heads of `head_channels`.
    head_channels: width of one head; None divides the input's channels among the heads. The
    output of `linear_softmax` is RMS-normalized, with a gain that starts at zero.
    """

    kind: str = "softmax"
    num_heads: int = 1
    head_channels: int | None = None
    norm: Callable[..., nn.Module] = RMSNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> Features:
        if self.kind not in KINDS:
            raise ValueError(f"unknown attention {self.kind!r}; known: {', '.join(KINDS)}, none")
        batch, height, width, channels = x.shape
        num_heads, head_channels = _heads(channels, self.num_heads, self.head_channels)
        inner = num_heads * head_channels

        h = self.norm(dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        # One product for q, k and v: three separate ones are slower on CPU and GPU alike.
        qkv = Dense(3 * inner, dtype=self.dtype, kernel_init=init, name="qkv")(h)
        qkv = qkv.reshape(batch, height * width, 3, num_heads, head_channels)
        h = KINDS[self.kind](qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(
            batch, height, width, inner
        )

        normalized = self.kind == "linear_softmax"
        zeros = nn.initializers.zeros
        h = Dense(
            channels, dtype=self.dtype, kernel_init=init if normalized else zeros, name="out"
        )(h)
        if normalized:
            # The norm's gain starts at zero instead: an RMS of zeros has no useful gradient.
            h = RMSNorm(scale_init=zeros, dtype=self.dtype, name="out_norm")(h)
        return x + h


def _heads(channels: int, num: int, width: int | None) -> tuple[int, int]:
    """How many heads, and the channels of each; one of the two may be open, and shares out the channels."""
    if num and width:
        return num, width
    if not num and not width:
        raise ValueError("num_heads is 0 and so is head_channels; wanted one of them above 0")
    given = num or width or 1
    if channels % given:
        what = f"{num} heads" if num else f"heads of {width} channels"
        raise ValueError(f"{channels} channels do not divide into {what}")
    return (num, channels // num) if num else (channels // given, given)
