"""Convolutions whose gradients are fast on a CPU.

XLA:CPU has fast programs for convolutions of B H W C by kernels laid out rows, columns, in, out. It
converts other layouts to that one first, but not inside `lax.scan`: there a weight gradient takes 50
to 100 times longer, an input gradient 3 to 10 times. So the derivatives here use layouts whose
transposes, the gradients, need no conversion and as few copies as possible.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ddpm_jax.nets.cpu import winograd
from ddpm_jax.nets.cpu.linear import derivative
from ddpm_jax.nets.resampling import depth_to_space, space_to_depth

# The smallest convolution that repays Winograd's sums.
FEWEST_CHANNELS, FEWEST_TILES = 64, 128
# Up to so many, as in an image, XLA:CPU's convolutions run far below their usual speed.
FEW_CHANNELS = 4


@jax.custom_jvp
def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "rows columns C D"]
) -> Float[Array, "B H W D"]:
    """Use Winograd's products where the image and the channels are large enough to repay its sums.

    Where a gradient is taken they never are: XLA computes the sums again for every use.
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
    """`convolve` where a derivative is taken; higher derivatives follow the same rule."""
    return _plain(x, kernel)


def _plain(x: Array, kernel: Array) -> Array:
    """Under `vmap` a convolution puts the new axis beside the features; a reshape moves it to the front.

    `winograd.convolve` has it there, and JAX requires that a function and its derivative agree on its
    position in the branch of a platform.
    """
    channels = kernel.shape[2]
    if 1 < channels <= FEW_CHANNELS and kernel.shape[1] == 3 and x.shape[2] % 2 == 0:
        return _of_pairs(x, kernel)
    out = _convolve(x, kernel, ("NHWC", "HWIO", "NHWC"))
    return out.reshape(*out.shape[:2], -1).reshape(out.shape)


def _of_pairs(x: Array, kernel: Array) -> Array:
    """Convolve with two columns as one pixel of twice the channels: 4/3 of the work at full speed."""
    batch, height, width, channels = x.shape
    x = jnp.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
    x = x.reshape(batch, height, width // 2 + 1, 2 * channels)
    left, right = (jnp.pad(kernel, [(0, 0), (i, 1 - i), (0, 0), (0, 0)]) for i in range(2))
    kernel = jnp.concatenate([left, right], axis=3)
    kernel = kernel.reshape(len(kernel), 2, 2 * channels, -1)
    rows = ((len(kernel) - 1) // 2, len(kernel) // 2)
    out = lax.conv_general_dilated(
        x, kernel, (1, 1), [rows, (0, 0)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out.reshape(batch, height, width, -1)


def _convolve(x: Array, kernel: Array, layout: tuple[str, str, str]) -> Array:
    """Convolve along the dimensions that `layout` names, for x, the kernel and the result."""
    strides = (1,) * (x.ndim - 2)
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)


def _for_input(x: Array, kernel: Array) -> Array:
    """The same; its transpose in x convolves by a kernel laid out rows, columns, in, out."""
    return _convolve(x, kernel.swapaxes(2, 3), ("NHWC", "HWOI", "NHWC"))


def _for_kernel(x: Array, kernel: Array) -> Array:
    """The same; its transpose in the kernel convolves C H BW along H by rows, BW, D, for each column.

    XLA:CPU leaves a convolution in one dimension to a library that is faster for so long a kernel. B
    comes before W, so that a batch spread over devices stays spread when the two are merged.
    """
    _, columns, channels, features = kernel.shape
    batch, height, width, _ = x.shape
    if channels <= FEW_CHANNELS:
        return _of_patches(x, kernel)
    x = _once(lambda x: x.transpose(3, 1, 0, 2), x).reshape(channels, height, batch * width)
    before = (columns - 1) // 2
    shifted = []
    for column in range(columns):
        h = _convolve(x, kernel[:, column].swapaxes(0, 1), ("CHN", "IHO", "HNC"))
        shifted.append(_shift(h.reshape(height, batch, width, features), before - column))
    return _once(lambda out: out.swapaxes(0, 1), sum(shifted[1:], shifted[0]))


def _of_patches(x: Array, kernel: Array) -> Array:
    """The same; its transpose in the kernel is one product of all pixels under it and the gradient.

    The pixels are the last axis, where so few channels would be short rows to copy.
    """
    rows, columns, channels, features = kernel.shape
    batch, height, width, _ = x.shape
    around = [((taps - 1) // 2, taps // 2) for taps in (rows, columns)]
    x = jnp.pad(x.transpose(3, 0, 1, 2), [(0, 0), (0, 0), *around])
    taps = [x[..., i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    patches = jnp.concatenate(taps).reshape(rows * columns * channels, 1, -1)
    out = _convolve(patches, kernel.reshape(-1, 1, features), ("CHN", "IHO", "HNC"))
    return out.reshape(batch, height, width, features)


def _once(move: Callable[[Array], Array], x: Array) -> Array:
    """`move`, and its transpose, of what is computed before.

    Without the condition, XLA computes all that leads to x once more for each use of the result, and
    in the result's order. The barrier hides from XLA that the condition never holds.
    """
    moved = jax.eval_shape(move, x)
    never = lax.optimization_barrier(jnp.zeros((), bool))
    return lax.cond(never, lambda x: jnp.zeros(moved.shape, moved.dtype), move, x)


def _shift(x: Float[Array, "H B W D"], by: int) -> Float[Array, "H B W D"]:
    """Shift `by` columns to the right, or to the left if negative; zeros come in."""
    nothing = (0, 0, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), [nothing, nothing, (by, -by, 0), nothing])


_derivative = derivative(_with_gradient, _for_input, _for_kernel)
convolve.defjvp(_derivative, symbolic_zeros=True)
_with_gradient.defjvp(_derivative, symbolic_zeros=True)


def convolve_strided(
    x: Float[Array, "B H W C"], kernel: Float[Array, "rows columns C D"]
) -> Float[Array, "B h w D"]:
    """Avoid the stride: fold each 2x2 pixels of the image and of the kernel into one pixel.

    Zeros in the fourth row and column of a kernel make it 16/9 of the work, but the gradient of a
    strided convolution is a dilated one, for which XLA:CPU has no fast program.
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
    """Convolve the doubled x with half the work: only four of the nine pixels under the kernel differ.

    Four kernels of 2x2, one for each parity of row and column, act on x itself.
    """
    of_rows = [rows.swapaxes(0, 1) for rows in _of_each_parity(kernel)]
    four = [columns.swapaxes(0, 1) for rows in of_rows for columns in _of_each_parity(rows)]
    together = jnp.concatenate(four, axis=3).astype(x.dtype)
    x = convolve(jnp.pad(x, [(0, 0), (1, 0), (1, 0), (0, 0)]), together)
    return depth_to_space(x, 2)[:, 1:-1, 1:-1]


def _of_each_parity(kernel: Float[Array, "3 ..."]) -> list[Array]:
    """Merge a kernel's three rows into two: for the lower row of a pair, and for the upper."""
    before, here, after = kernel
    return [jnp.stack([before + here, after]), jnp.stack([before, here + after])]
