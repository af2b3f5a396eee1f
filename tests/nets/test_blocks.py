"""Residual blocks start as their shortcut; resampling against plain loops and jax.image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import blocks, resampling
from ddpm_jax.nets.normalization import RMSNorm

X = jax.random.normal(jax.random.key(0), (2, 4, 6, 8))
EMBEDDING = jax.random.normal(jax.random.key(1), (2, 5))


@pytest.mark.parametrize("conditioning", blocks.CONDITIONING)
def test_a_block_starts_as_the_identity(conditioning):
    net = blocks.ResidualBlock(8, conditioning=conditioning, norm=RMSNorm)
    params = net.init(jax.random.key(2, impl="rbg"), X, EMBEDDING)
    np.testing.assert_array_equal(net.apply(params, X, EMBEDDING), X)


@pytest.mark.parametrize("conditioning", blocks.CONDITIONING)
def test_a_change_of_width_makes_the_shortcut_a_linear_map_of_each_pixel(conditioning):
    net = blocks.ResidualBlock(6, conditioning=conditioning, norm=RMSNorm)
    params = net.init(jax.random.key(2, impl="rbg"), X, EMBEDDING)
    kernel = params["params"]["shortcut"]["kernel"]
    np.testing.assert_allclose(net.apply(params, X, EMBEDDING), X @ kernel, atol=1e-5)


def test_space_to_depth_keeps_each_patch_together_and_comes_back():
    folded = resampling.space_to_depth(X, 2)
    assert folded.shape == (2, 2, 3, 32)
    np.testing.assert_array_equal(folded[1, 0, 2], X[1, 0:2, 4:6].reshape(32))
    np.testing.assert_array_equal(resampling.depth_to_space(folded, 2), X)
    np.testing.assert_array_equal(resampling.space_to_depth(X, 1), X)


def test_nearest_repeats_and_pooling_undoes_it():
    np.testing.assert_array_equal(resampling.nearest(X), X.repeat(2, axis=1).repeat(2, axis=2))
    pooled = blocks.Downsample("pool").apply({}, resampling.nearest(X))
    np.testing.assert_allclose(pooled, X, rtol=1e-6)
    np.testing.assert_array_equal(blocks.Upsample("pool").apply({}, X), resampling.nearest(X))


def test_max_pool_and_its_gradient_are_those_of_flax():
    def sum_of_cubes(pool, x):
        return jnp.sum(pool(x) ** 3)

    def of_flax(x):
        return nn.max_pool(x, (2, 2), strides=(2, 2))

    x = jax.random.normal(jax.random.key(3), (2, 6, 4, 3))
    np.testing.assert_array_equal(resampling.max_pool(x), of_flax(x))
    ours, theirs = (jax.grad(sum_of_cubes, 1)(pool, x) for pool in (resampling.max_pool, of_flax))
    np.testing.assert_array_equal(ours, theirs)


def test_bilinear_is_that_of_jax_image():
    want = jax.image.resize(X, (2, 8, 12, 8), "bilinear")
    np.testing.assert_allclose(resampling.bilinear(X), want, atol=1e-6)


def windows(x, kernel, row, col):
    """One output pixel of a 3x3 convolution centered at (row, col), zeros outside, in loops."""
    total = 0.0
    for i in range(3):
        for j in range(3):
            r, c = row + i - 1, col + j - 1
            if 0 <= r < x.shape[0] and 0 <= c < x.shape[1]:
                total = total + x[r, c] @ kernel[i, j]
    return total


def test_the_convolution_after_upsampling_sees_the_repeated_pixels(fill):
    net = blocks.Upsample()
    params = fill(net, X)
    got = net.apply(params, X)
    assert got.shape == (2, 8, 12, 8)
    kernel, bias = (np.asarray(params["params"]["conv"][name]) for name in ("kernel", "bias"))
    repeated = np.asarray(resampling.nearest(X))
    for row, col in ((0, 0), (0, 1), (3, 4), (4, 7), (7, 11), (6, 0)):
        want = windows(repeated[1], kernel, row, col) + bias
        np.testing.assert_allclose(got[1, row, col], want, atol=1e-5)


def test_the_strided_convolution_pads_at_the_bottom_and_right_alone(fill):
    # TensorFlow's SAME for a stride of 2, as in Ho et al.'s network: windows start at even pixels.
    net = blocks.Downsample()
    params = fill(net, X)
    got = net.apply(params, X)
    assert got.shape == (2, 2, 3, 8)
    kernel, bias = (np.asarray(params["params"]["conv"][name]) for name in ("kernel", "bias"))
    for row, col in ((0, 0), (1, 1), (1, 2)):
        want = windows(np.asarray(X)[0], kernel, 2 * row + 1, 2 * col + 1) + bias
        np.testing.assert_allclose(got[0, row, col], want, atol=1e-5)


def test_with_padding_the_windows_are_centred_at_even_pixels(fill):
    net = blocks.Downsample(padding=1)
    params = fill(net, X)
    got = net.apply(params, X)
    assert got.shape == (2, 2, 3, 8)
    kernel, bias = (np.asarray(params["params"]["conv"][name]) for name in ("kernel", "bias"))
    for row, col in ((0, 0), (1, 1), (1, 2)):
        want = windows(np.asarray(X)[0], kernel, 2 * row, 2 * col) + bias
        np.testing.assert_allclose(got[0, row, col], want, atol=1e-5)


def test_blocks_refuse_an_unknown_conditioning():
    with pytest.raises(ValueError, match="unknown conditioning 'concat'; known: add, film"):
        blocks.ResidualBlock(8, conditioning="concat").init(jax.random.key(0), X, EMBEDDING)
