"""Convolutions whose gradients are fast on a CPU.

XLA:CPU has fast programs for convolutions laid out B H W C by rows, columns, in, out, and brings
others to that form first, but not inside `lax.scan`: a weight gradient there takes 50 to 100 times
longer, an input gradient 3 to 10 times. So the derivatives here are written in layouts whose
transposes, the gradients, need no bringing, and as few copies as can be.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu import winograd
from ddpm_jax.nets.cpu.linear import derivative
from ddpm_jax.nets.resampling import depth_to_space, space_to_depth

# Of a convolution that Winograd's sums are worth.
FEWEST_CHANNELS, FEWEST_TILES = 64, 128


@jax.custom_jvp
def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "rows columns C D"]
) -> Float[Array, "B H W D"]:
    """By Winograd's products where the image and the channels are worth its sums.

    Where a gradient is taken, they are not: XLA makes the sums anew for every use.
    """
    batch, height, width, _ = x.shape
    num_tiles = batch * height * width // 4
    if (
        x.dtype == jnp.float32
        and kernel.shape[:2] == (3, 3)
        and height % 2 == width % 2 == 0
        and min(kernel.shape[2:]) >= FEWEST_CHANNELS
        and num_tiles >= FEWEST_TILES
    ):
        return winograd.convolve(x, kernel)
    return _plain(x, kernel)


@jax.custom_jvp
def _with_gradient(x: Array, kernel: Array) -> Array:
    """`convolve` as its derivatives compute it; they are differentiated by the same rule again."""
    return _plain(x, kernel)


def _plain(x: Array, kernel: Array) -> Array:
    """Under `vmap` a convolution has the new axis beside the features, and a reshape brings it to the front.

    JAX wants it where `winograd.convolve` has it: a function and its derivative, in the branch of a
    platform, must agree on the place.
    """
    out = _convolve(x, kernel, ("NHWC", "HWIO", "NHWC"))
    return out.reshape(*out.shape[:2], -1).reshape(out.shape)


def _convolve(x: Array, kernel: Array, layout: tuple[str, str, str]) -> Array:
    """Along as many dimensions as the layout of x, of the kernel and of the result names."""
    strides = (1,) * (x.ndim - 2)
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)


def _for_input(x: Array, kernel: Array) -> Array:
    """The same; transposed in x, that convolves by a kernel laid out rows, columns, in, out."""
    return _convolve(x, kernel.swapaxes(2, 3), ("NHWC", "HWOI", "NHWC"))


def _for_kernel(x: Array, kernel: Array) -> Array:
    """The same; transposed in the kernel, that convolves C H BW along H by rows, BW, columns D.

    In one dimension, which XLA:CPU leaves to a library that is faster at so long a kernel. B comes
    before W, so that a batch spread over devices stays spread where the two are one.

    Transposed, the condition takes the gradient as it is: without it XLA computes anew for each of
    the columns all that leads to the gradient. That it never holds is kept from XLA by the barrier.
    """
    rows, columns, channels, features = kernel.shape
    batch, height, width, _ = x.shape
    x = x.transpose(3, 1, 0, 2).reshape(channels, height, batch * width)
    kernel = kernel.transpose(2, 0, 1, 3).reshape(channels, rows, columns * features)
    h = _convolve(x, kernel, ("CHN", "IHO", "HNC"))
    of_columns = jnp.split(h.reshape(height, batch, width, columns * features), columns, axis=3)
    before = (columns - 1) // 2
    shifted = [_shift(part, before - column) for column, part in enumerate(of_columns)]
    out = sum(shifted[1:], shifted[0])
    zeros = jnp.zeros((batch, height, width, features), out.dtype)
    never = lax.optimization_barrier(jnp.zeros((), bool))
    return lax.cond(never, lambda out: zeros, lambda out: out.swapaxes(0, 1), out)


def _shift(x: Float[Array, "H B W D"], by: int) -> Float[Array, "H B W D"]:
    """So many columns to the right, or to the left where negative; zeros come in."""
    nothing = (0, 0, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), [nothing, nothing, (by, -by, 0), nothing])


_derivative = derivative(_with_gradient, _for_input, _for_kernel)
convolve.defjvp(_derivative, symbolic_zeros=True)
_with_gradient.defjvp(_derivative, symbolic_zeros=True)


def convolve_strided(
    x: Float[Array, "B H W C"], kernel: Float[Array, "rows columns C D"]
) -> Float[Array, "B h w D"]:
    """Without a stride: of an image and a kernel of 2x2 pixels a pixel.

    Zeros in the fourth row and column of a kernel make it 16/9 of the work, but the gradient of a
    stride is a convolution with holes, for which XLA:CPU has no fast program.
    """
    x = jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)])
    rows, columns, channels, features = kernel.shape
    kernel = jnp.pad(kernel, [(0, rows % 2), (0, columns % 2), (0, 0), (0, 0)])
    rows, columns = (rows + 1) // 2, (columns + 1) // 2
    kernel = kernel.reshape(rows, 2, columns, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(rows, columns, 4 * channels, features)
    return convolve(space_to_depth(x, 2), kernel)


def convolve_doubled(
    x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C D"]
) -> Float[Array, "B 2*H 2*W D"]:
    """In half the work: four of the nine pixels under the kernel differ.

    So four kernels of 2x2, one for each parity of row and column, do it on x itself.
    """
    of_rows = [rows.swapaxes(0, 1) for rows in _of_each_parity(kernel)]
    four = [columns.swapaxes(0, 1) for rows in of_rows for columns in _of_each_parity(rows)]
    together = jnp.concatenate(four, axis=3).astype(x.dtype)
    x = convolve(jnp.pad(x, [(0, 0), (1, 0), (1, 0), (0, 0)]), together)
    return depth_to_space(x, 2)[:, 1:-1, 1:-1]


def _of_each_parity(kernel: Float[Array, "3 ..."]) -> list[Array]:
    """Of a kernel's three rows, those two that differ: around the lower of a pair, around the upper."""
    before, here, after = kernel
    return [jnp.stack([before + here, after]), jnp.stack([before, here + after])]
