"""Products along the channels whose gradients are fast on a CPU, and a product for a repetition."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu.linear import derivative


@jax.custom_jvp
def product(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    return x @ kernel


def _for_kernel(x: Array, kernel: Array) -> Array:
    """The same; transposed in the kernel, that multiplies x transposed by the gradient.

    JAX's own transpose of a product is the gradient transposed times x, and XLA computes anew all that
    leads to what it has to transpose.
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
    """By a product, since XLA would do a repetition anew for every pixel."""
    to_channels = jnp.repeat(jnp.eye(means.shape[-1]), times, axis=1)
    return jnp.dot(means, to_channels, precision=lax.Precision.HIGHEST)
