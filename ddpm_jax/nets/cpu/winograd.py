"""3x3 convolutions with 16 products instead of 36: Winograd's F(2x2, 3x3).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.1: each square of
2x2 results comes from a tile of 4x4 pixels, by a product for each of the tile's sixteen places.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from ddpm_jax.nets.resampling import depth_to_space

Grid = Sequence[Sequence[Array]]
"""Arrays by row and column of a tile."""


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C D"]
) -> Float[Array, "B H W D"]:
    """Convolve with stride one and zero padding; H and W must be even.

    In float32 the result is within 1e-5 of a direct convolution, for values around 1.
    """
    batch, height, width, channels = x.shape
    x = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    tiles = [
        [
            x[:, i : i + height - 1 : 2, j : j + width - 1 : 2].reshape(-1, channels)
            for j in range(4)
        ]
        for i in range(4)
    ]
    factors = _along_both(_of_kernel, [list(row) for row in kernel])
    products = [
        [tile @ factor for tile, factor in zip(*rows, strict=True)]
        for rows in zip(_along_both(_of_tile, tiles), factors, strict=True)
    ]
    out = [part for row in _along_both(_of_products, products) for part in row]
    together = jnp.concatenate(out, axis=1)
    return depth_to_space(together.reshape(batch, height // 2, width // 2, -1), 2)


def _along_both(transform: Callable[..., list[Array]], grid: Grid) -> Grid:
    columns = [transform(*column) for column in zip(*grid, strict=True)]
    return [transform(*row) for row in zip(*columns, strict=True)]


def _of_tile(a: Array, b: Array, c: Array, d: Array) -> list[Array]:
    return [a - c, b + c, c - b, b - d]


def _of_kernel(a: Array, b: Array, c: Array) -> list[Array]:
    return [a, (a + b + c) / 2, (a - b + c) / 2, c]


def _of_products(a: Array, b: Array, c: Array, d: Array) -> list[Array]:
    return [a + b + c, b - c - d]
