"""The first system's network: its size, its gradients, its options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets.double_conv_unet import DoubleConvUNet

X = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
T = jnp.array([1.0, 900.0])


def small(**options):
    options = dict(base_channels=4, multipliers=(1, 2, 2), num_heads=2, time_features=8) | options
    return DoubleConvUNet(out_channels=3, **options)


def test_the_defaults_have_the_originals_15_6_million_parameters(count):
    # 15.6 M was computed from the original's source; the exact figure is this network's own.
    assert count(DoubleConvUNet(out_channels=3), 64) == 15_585_923


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "relu", "attention": "none", "multipliers": (1, 2)}],
    ids=str,
)
def test_every_option_compiles_and_every_parameter_gets_a_gradient(options, fill, compiled):
    net = small(**options)

    def loss(params):
        out = net.apply(params, X, T, train=True)
        return jnp.mean((out - 1.0) ** 2), out

    gradient, out = compiled(jax.grad(loss, has_aux=True))(fill(net, X, T))
    assert out.shape == X.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.all(jnp.isfinite(leaf)) and jnp.any(leaf != 0), path


def test_bfloat16_is_near_float32(fill, compiled):
    params = fill(small(), X, T)
    exact = compiled(small().apply)(params, X, T)
    rough = compiled(small(dtype=jnp.bfloat16).apply)(params, X, T)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.05


def test_the_label_changes_its_own_image_only(fill, compiled):
    net = small(num_classes=2)
    params = fill(net, X, T, jnp.array([0, 1]))
    apply = compiled(net.apply)
    before, after = (apply(params, X, T, jnp.array([0, label])) for label in (1, 2))
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)
    assert not np.allclose(after[1], before[1], atol=1e-3)


def test_the_output_is_zero_at_initialization(compiled):
    params = compiled(small().init)(jax.random.key(1, impl="rbg"), X, T)
    np.testing.assert_array_equal(compiled(small().apply)(params, X, T), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multipliers": (1, 2, 2, 2, 2)}, "8x8 image does not halve over 5 levels"),
        ({"activation": "tanh"}, "unknown activation 'tanh'; known: gelu, relu"),
        ({"attention": "flash"}, "unknown attention 'flash'"),
        ({"num_classes": 2}, "network of 2 classes wants a label"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(small(**options).init, jax.random.key(0), X, T)
