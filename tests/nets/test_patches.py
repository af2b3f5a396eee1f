"""The patch U-Net: patches against plain slices, sizes, gradients, its options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets.patches import PatchConv, PatchExpand, PatchUNet

T = jnp.array([1.0, 900.0])


def images(size=8, channels=3):
    return jax.random.normal(jax.random.key(0), (2, size, size, channels))


def small(**options):
    options = dict(multipliers=(1, 2), patch_sizes=(2,), num_heads=2, num_refine_blocks=1) | options
    return PatchUNet(out_channels=3, base_channels=4, **options)


def test_patch_conv_is_one_linear_map_of_each_patch_completed_with_zeros(fill):
    x = images(size=5)
    net = PatchConv(6, 4)
    params = fill(net, x)
    got = net.apply(params, x)
    assert got.shape == (2, 2, 2, 6)
    kernel, bias = (params["params"]["conv"][name] for name in ("kernel", "bias"))
    padded = np.pad(x, [(0, 0), (0, 3), (0, 3), (0, 0)])
    for row in range(2):
        for col in range(2):
            patch = padded[1, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4].reshape(-1)
            np.testing.assert_allclose(got[1, row, col], patch @ kernel + bias, atol=1e-5)


def test_patch_expand_is_one_linear_map_to_each_patch(fill):
    x = images(size=3)
    net = PatchExpand(5, 2)
    params = fill(net, x)
    kernel, bias = (params["params"]["conv"][name] for name in ("kernel", "bias"))
    want = (x[1, 2, 0] @ kernel + bias).reshape(2, 2, 5)
    np.testing.assert_allclose(net.apply(params, x)[1, 4:6, 0:2], want, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "patch_sizes"), [(32, (2, 2, 2)), (32, (4, 4)), (28, (2, 2, 2)), (8, (2, 2))]
)
def test_it_fits_the_image_sizes_of_the_studies(size, patch_sizes):
    multipliers = (1, 2, 4, 4)[: len(patch_sizes) + 1]
    net = PatchUNet(3, multipliers=multipliers, patch_sizes=patch_sizes)
    out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), images(size), T)
    assert out.shape == (2, size, size, 3)


def test_the_originals_patches_end_in_a_single_pixel_only_if_asked():
    net = PatchUNet(3, patch_sizes=(4, 4, 4))
    message = r"\(4, 4, 4\) take a 32x32 image down to 1x1, below min_side 2"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(net.init, jax.random.key(0), images(32), T)
    net = net.clone(min_side=1)
    out, _ = jax.eval_shape(net.init_with_output, jax.random.key(0), images(32), T)
    assert out.shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"patch_sizes": (4,)},
        {"attention": "none", "time_embedding": "sinusoidal", "num_refine_blocks": 0},
    ],
    ids=str,
)
def test_every_option_compiles_and_every_parameter_gets_a_gradient(options, fill, compiled):
    net, x = small(max_t=1000.0, **options), images(7)

    def loss(params):
        out = net.apply(params, x, T, train=True)
        return jnp.mean((out - 1.0) ** 2), out

    gradient, out = compiled(jax.grad(loss, has_aux=True))(fill(net, x, T))
    assert out.shape == x.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.all(jnp.isfinite(leaf)) and jnp.any(leaf != 0), path


def test_bfloat16_is_near_float32(fill, compiled):
    x, net = images(), small(max_t=1000.0)
    params = fill(net, x, T)
    exact = compiled(net.apply)(params, x, T)
    rough = compiled(net.clone(dtype=jnp.bfloat16).apply)(params, x, T)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.05


def test_the_label_changes_its_own_image_only(fill, compiled):
    x, net = images(), small(num_classes=2, max_t=1000.0)
    params = fill(net, x, T, jnp.array([0, 1]))
    apply = compiled(net.apply)
    before, after = (apply(params, x, T, jnp.array([0, label])) for label in (1, 2))
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)
    assert not np.allclose(after[1], before[1], atol=1e-4)


def test_the_output_is_zero_at_initialization(compiled):
    params = compiled(small().init)(jax.random.key(1, impl="rbg"), images(), T)
    np.testing.assert_array_equal(compiled(small().apply)(params, images(), T), 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_sizes": (2, 2)}, r"2 levels want 1 patch_sizes between them, got \(2, 2\)"),
        ({"attention": "flash"}, "unknown attention 'flash'"),
        ({"time_embedding": "learned"}, "unknown time embedding 'learned'"),
        ({"num_classes": 2}, "network of 2 classes wants a label"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(small(**options).init, jax.random.key(0), images(), T)
