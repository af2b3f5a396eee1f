"""Winograd's products against the plain convolution, and where they are taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets.convolution import convolve
from ddpm_jax.nets.cpu import winograd
from tests.nets.test_convolution import plain

KEYS = jax.random.split(jax.random.key(0), 3)


def operands(batch=2, height=16, width=16, channels=64, features=64, dtype=jnp.float32, side=3):
    x = jax.random.normal(KEYS[0], (batch, height, width, channels), dtype)
    kernel = jax.random.normal(KEYS[1], (side, side, channels, features), dtype)
    return x, kernel / (side * side * channels) ** 0.5


@pytest.mark.parametrize(
    ("height", "width", "channels", "features"), [(2, 2, 1, 1), (6, 4, 3, 5), (16, 16, 256, 128)]
)
def test_the_convolution_is_the_plain_one(height, width, channels, features):
    given = operands(3, height, width, channels, features)
    got, want = jax.jit(winograd.convolve)(*given), plain(*given)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, atol=1e-5)


def counted(function, *given):
    """Convolutions and products of the program."""
    text = jax.jit(function).lower(*given).as_text()
    return text.count("stablehlo.convolution"), text.count("stablehlo.dot_general")


def test_without_a_gradient_it_is_taken():
    given = operands()
    assert counted(convolve, *given) == (0, 16)
    np.testing.assert_allclose(convolve(*given), plain(*given), atol=1e-5)
    assert counted(lambda x, kernel: convolve(jax.lax.stop_gradient(x), kernel), *given) == (0, 16)


@pytest.mark.parametrize(
    "unlike",
    [
        {"height": 15},
        {"width": 15},
        {"channels": 48},
        {"features": 3},
        {"batch": 1},  # 64 tiles: the kernel's sums are as much work as they save
        {"dtype": jnp.bfloat16},  # sums of sixteen places lose what bfloat16 keeps
        {"side": 1},
    ],
)
def test_where_it_is_not_worth_it_the_plain_one_is_taken(unlike):
    assert counted(convolve, *operands(**unlike)) == (1, 0)


def test_with_a_gradient_the_plain_one_is_taken_and_twice_too():
    x, kernel = operands()

    def loss(x):
        return jnp.sum(convolve(x, kernel) ** 2)

    def plain_loss(x):
        return jnp.sum(plain(x, kernel) ** 2)

    assert counted(jax.grad(loss), x) == (2, 0)
    np.testing.assert_allclose(jax.grad(loss)(x), jax.grad(plain_loss)(x), atol=1e-4)
    along = jax.random.normal(KEYS[2], x.shape)
    got, want = (jax.jvp(jax.grad(each), (x,), (along,))[1] for each in (loss, plain_loss))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_several_kernels_at_once_are_each_of_them():
    x, kernel = operands()
    both = jnp.stack([kernel, 2 * kernel])
    got = jax.vmap(convolve, (None, 0))(x, both)
    np.testing.assert_allclose(got[1], 2 * plain(x, kernel), atol=2e-5)
