"""Products along the channels whose gradients are fast on a CPU, and repetition as a product."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu.linear import derivative


@jax.custom_jvp
def product(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    return x @ kernel


def _for_kernel(x: Array, kernel: Array) -> Array:
    """The same; its transpose in the kernel multiplies x transposed by the gradient.

    JAX's own transpose of a product is the gradient transposed times x, and XLA recomputes all that
    leads to an array it has to transpose.
    """
    out = lax.conv_general_dilated(
        x.reshape(-1, x.shape[-1]).T[:, None],
        kernel[:, None],
        window_strides=(1,),
        padding="SAME",
        dimension_numbers=("CHN", "IHO", "HNC"),
    )
    return out.reshape(*x.shape[:-1], -1)


product.defjvp(derivative(product, jnp.matmul, _for_kernel), symbolic_zeros=True)


def repeat(means: Float[Array, "B groups"], *, times: int) -> Float[Array, "B C"]:
    """Repeat by a product, since XLA would redo a plain repetition for every pixel."""
    to_channels = jnp.repeat(jnp.eye(means.shape[-1]), times, axis=1)
    return jnp.dot(means, to_channels, precision=lax.Precision.HIGHEST)
