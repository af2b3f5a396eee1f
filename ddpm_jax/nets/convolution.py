"""Convolutions, and products along the channels, with Ho et al.'s initialization."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu import convolution as cpu_convolution
from ddpm_jax.nets.cpu import on_cpu, products
from ddpm_jax.nets.resampling import nearest

LAYOUT = ("NHWC", "HWIO", "NHWC")

Kernel = Float[Array, "rows columns C D"]

# Glorot uniform, as in Ho et al. 2020, for everything that does not start at zero.
init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


@on_cpu(cpu_convolution.convolve)
def convolve(x: Float[Array, "B H W C"], kernel: Kernel) -> Float[Array, "B H W D"]:
    """Convolve with stride one and zero padding."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


@on_cpu(cpu_convolution.convolve_strided)
def convolve_strided(x: Float[Array, "B H W C"], kernel: Kernel) -> Float[Array, "B h w D"]:
    """Convolve with stride two, kernels up to 3x3: a window starts at every even row and column."""
    padding = [
        (0, max(0, side % 2 + taps - 2))
        for side, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    ]
    return lax.conv_general_dilated(x, kernel, (2, 2), padding, dimension_numbers=LAYOUT)


@on_cpu(cpu_convolution.convolve_doubled)
def convolve_doubled(
    x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C D"]
) -> Float[Array, "B 2*H 2*W D"]:
    """`convolve` x with every pixel repeated as 2x2, in the dtype of x."""
    return lax.conv_general_dilated(
        nearest(x), kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=LAYOUT
    )


@on_cpu(products.product)
def product(x: Float[Array, "... C"], kernel: Float[Array, "C D"]) -> Float[Array, "... D"]:
    return x @ kernel


def _dot_general(x: Array, kernel: Array, dimensions: object, precision: object = None) -> Array:
    """`product` as Flax's Dense calls it: last axis of x, first of the kernel, JAX's precision."""
    return product(x, kernel)


Dense = partial(nn.Dense, dot_general=_dot_general)


class Conv(nn.Module):
    """A convolution of stride one or two; with stride two the windows start at even pixels.

    For even sides this is TensorFlow's SAME, as in Ho et al.'s network: zeros only at the end.
    `doubled` first repeats every input pixel as 2x2; the kernel must be 3x3.
    """

    features: int
    stride: int = 1
    kernel_size: int = 3
    doubled: bool = False
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = init
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w {self.features}"]:
        side, channels = self.kernel_size, x.shape[-1]
        shape = (side, side, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x = x.astype(self.dtype)
        if self.doubled:
            x = convolve_doubled(x, kernel)
        elif self.stride == 1:
            x = convolve(x, kernel.astype(self.dtype))
        else:
            x = convolve_strided(x, kernel.astype(self.dtype))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            x = x + bias.astype(self.dtype)[None, None, None]
        return x
