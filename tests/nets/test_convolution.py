"""Our convolutions and all their derivatives against Flax's and lax's plain ones."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ddpm_jax.nets import convolution
from ddpm_jax.nets.convolution import Conv, convolve, convolve_doubled, product
from ddpm_jax.nets.resampling import nearest

X, DX = jax.random.normal(jax.random.key(0), (2, 2, 6, 4, 3))
KEYS = jax.random.split(jax.random.key(1), 3)


def plain(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)


def with_gradients(f, x, kernel, out):
    """The value of `f`, and the gradients of its product with `out` by x and by the kernel."""
    value, pull = jax.vjp(f, x, kernel)
    return value, *pull(out)


@pytest.fixture
def check_like(compiled):
    """`check_like(ours, theirs, x, kernel, out)`: the same values and gradients, but for rounding."""

    def check(ours, theirs, *arguments):
        (got, *gradients), (want, *wanted) = (
            compiled(partial(with_gradients, f))(*arguments) for f in (ours, theirs)
        )
        np.testing.assert_allclose(got, want, atol=1e-5)
        for one, other in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)

    return check


def kernels(side, channels=3):
    return jax.random.normal(KEYS[0], (2, side, side, channels, 5))


def image(channels, width=4):
    return jax.random.normal(KEYS[2], (2, 6, width, channels))


@pytest.mark.parametrize("side", [1, 2, 3, 5])
@pytest.mark.parametrize(("channels", "width"), [(1, 4), (3, 4), (3, 5), (6, 4), (6, 5)])
def test_values_and_gradients_are_those_of_the_plain_convolution(side, channels, width, check_like):
    (kernel, _), x = kernels(side, channels), image(channels, width)
    out = jax.random.normal(KEYS[1], (2, 6, width, 5))
    check_like(convolve, plain, x, kernel, out)


def test_a_product_of_channels_and_its_gradients_are_those_of_a_matrix(check_like):
    out = jax.random.normal(KEYS[1], (2, 6, 4, 5))
    check_like(product, jnp.matmul, X, kernels(3)[0][0, 0], out)


@pytest.mark.parametrize(
    ("ours", "theirs", "taps"), [(convolve, plain, ...), (product, jnp.matmul, (0, 0))]
)
def test_forward_derivatives_batched_too_are_those_of_the_plain_function(
    ours, theirs, taps, compiled
):
    kernel, change = (each[taps] for each in kernels(3))
    for argument, tangent in ((0, DX), (1, change)):
        arguments = [X, kernel]

        def along(f, tangent, arguments=arguments, argument=argument):
            def one(value):
                return f(*arguments[:argument], value, *arguments[argument + 1 :])

            return jax.linearize(one, arguments[argument])[1](tangent)

        batch = jnp.stack([tangent, 2.0 * tangent])
        got, want = (compiled(jax.vmap(partial(along, f)))(batch) for f in (ours, theirs))
        np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_gradients_of_several_kernels_at_once_are_those_of_each(channels, compiled):
    """As several classifiers are trained at once."""
    x = image(channels)

    def gradient(f):
        several = jax.vmap(jax.grad(lambda kernel: jnp.sum(f(x, kernel) ** 2)))
        return compiled(several)(kernels(3, channels))

    np.testing.assert_allclose(gradient(convolve), gradient(plain), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("channels", [3, 6])
def test_second_derivatives_are_those_of_the_plain_convolution(channels, compiled):
    kernel, _ = kernels(3, channels)

    def norm_of_gradient(f, kernel):
        return jnp.sum(jax.grad(lambda x: jnp.sum(f(x, kernel) ** 3))(image(channels)) ** 2)

    got, want = (
        compiled(jax.grad(partial(norm_of_gradient, f)))(kernel) for f in (convolve, plain)
    )
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=0.1)


def test_a_convolution_of_doubled_pixels_and_its_gradients_are_those_of_the_enlarged_image(
    check_like,
):
    out = jax.random.normal(KEYS[1], (2, 12, 8, 5))

    def enlarged(x, kernel):
        return plain(nearest(x), kernel)

    check_like(convolve_doubled, enlarged, X, kernels(3)[0], out)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [2, 3])
def test_the_module_is_that_of_flax_with_the_same_parameters(stride, side, fill):
    ours = Conv(5, stride=stride, kernel_size=side)
    theirs = nn.Conv(5, (side, side), stride)
    params = fill(ours, X)
    assert jax.tree.structure(params) == jax.tree.structure(fill(theirs, X))
    np.testing.assert_allclose(ours.apply(params, X), theirs.apply(params, X), atol=1e-5)


def test_at_odd_sides_a_stride_of_two_still_starts_at_even_pixels(fill):
    x = X[:, :5, :3]
    params = fill(Conv(5), x)
    every = np.asarray(Conv(5).apply(params, jnp.pad(x, [(0, 0), (0, 2), (0, 2), (0, 0)])))
    got = Conv(5, stride=2).apply(params, x)
    # A window that starts at pixel 0 is, with a stride of one, the one centered at pixel 1.
    np.testing.assert_allclose(got, every[:, 1:7:2, 1:5:2], atol=1e-5)


def test_a_convolution_can_go_without_a_bias_and_computes_in_its_own_type():
    net = Conv(5, use_bias=False, dtype=jnp.bfloat16)
    params = net.init(jax.random.key(0), X)
    assert jax.tree.map(jnp.shape, params) == {"params": {"kernel": (3, 3, 3, 5)}}
    assert params["params"]["kernel"].dtype == jnp.float32
    assert net.apply(params, X).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("channels", "fast"), [(3, {"b01f_01io->b01f"}), (6, {"b01f_01io->b01f", "b0f_0io->b0f"})]
)
def test_gradients_in_a_loop_compile_to_the_convolutions_that_are_fast_there(channels, fast):
    # XLA:CPU's fast paths: images B H W C by kernels rows, columns, in, out, and the same in one
    # dimension. A layout pass that brings others to it does not reach into loops: a factor of 50.
    # The gradient by a kernel for few channels is a product.
    (kernel, _), x = kernels(3, channels), image(channels)

    def step(kernel, _):
        return kernel - jax.grad(lambda kernel: jnp.sum(convolve(x, kernel) ** 2))(kernel), None

    def descend(kernel):
        return lax.scan(step, kernel, None, length=4)[0]

    text = jax.jit(descend).lower(kernel).compile().as_text()
    layouts = [
        line.split("dim_labels=")[1].split(",")[0]
        for line in text.splitlines()
        if "dim_labels" in line
    ]
    assert set(layouts) == fast


@pytest.mark.parametrize(
    ("operation", "kernel"),
    [
        (convolution.convolve, (3, 3, 64, 64)),  # Winograd's, without a gradient
        (convolution.convolve, (3, 3, 8, 4)),
        (convolution.convolve, (3, 3, 3, 4)),
        (convolution.convolve_strided, (3, 3, 8, 4)),
        (convolution.convolve_doubled, (3, 3, 8, 4)),
        (convolution.product, (8, 4)),
    ],
)
def test_networks_that_are_stacked_have_the_gradients_of_each(operation, kernel, compiled):
    """As the stacked classifiers are trained, from one on."""
    x = jax.random.normal(jax.random.key(0), (1, 128, 4, 4, kernel[-2]))
    kernels = jax.random.normal(jax.random.key(1), (1, *kernel))

    def loss(kernels, x, apply):
        return (apply(x, kernels) ** 2).sum()

    def gradients(apply, *arguments):
        return compiled(jax.grad(partial(loss, apply=apply), (0, 1)))(*arguments)

    stacked = gradients(jax.vmap(operation), kernels, x)
    alone = gradients(operation, kernels[0], x[0])
    for several, one in zip(stacked, alone, strict=True):
        np.testing.assert_allclose(several[0], one, rtol=1e-3, atol=1e-2 * np.abs(one).max())
