"""The residual U-Net: its size, what each option changes, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets.unet import UNet

SMALL = dict(
    out_channels=3,
    base_channels=8,
    multipliers=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(4,),
    num_groups=4,
    dropout=0.0,
)


def small(**options):
    return UNet(**(SMALL | options))


def inputs(size=8, channels=3):
    x = jax.random.normal(jax.random.key(1), (2, size, size, channels))
    return x, jnp.array([1.0, 900.0])


def test_the_defaults_are_the_papers_cifar10_network_to_the_last_parameter(count):
    # 35.7 M in Ho et al. 2020, B; 35,746,307 is the exact count of their published network.
    assert count(UNet(out_channels=3), 32) == 35_746_307


def test_class_conditioning_adds_one_row_of_the_embedding_a_class_and_a_null_one(count):
    net = UNet(out_channels=3, num_classes=10)
    assert count(net, 32, label=True) == 35_746_307 + 11 * 512


def test_learned_variance_adds_one_filter_a_channel(count):
    assert count(UNet(out_channels=6), 32) == 35_746_307 + 3 * (9 * 128 + 1)


def test_two_by_two_patches_of_fashion_mnist_make_a_network_of_a_million_parameters(count):
    net = UNet(1, 32, (1, 2), attention_resolutions=(7,), patch_size=2, num_classes=10)
    assert count(net, 28, 1, label=True) == 1_004_868


def test_the_output_is_zero_at_initialization(compiled):
    x, t = inputs()
    params = compiled(small().init)(jax.random.key(2, impl="rbg"), x, t)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    np.testing.assert_array_equal(compiled(small().apply)(params, x, t), 0.0)


@pytest.mark.parametrize(
    "options",
    [
        {"conditioning": "film", "resampling": "pool", "norm": "rms", "time_embedding": "mlp"},
        {"attention": "linear_elu", "middle_attention": "linear_elu", "num_heads": 4},
        {
            "attention_resolutions": (8, 4),
            "attention": ("linear_softmax", "softmax"),
            "middle_attention": "none",
            "num_heads": 2,
            "head_channels": 4,
            "dtype": jnp.bfloat16,
        },
        {"patch_size": 2, "attention_resolutions": (2,), "attention": "none", "out_channels": 6},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_option_compiles_and_every_parameter_gets_a_gradient(options, fill, compiled):
    net = small(**options)
    x, t = inputs()
    t = t / 1000.0 if net.time_embedding == "mlp" else t

    def loss(params):
        out = net.apply(params, x, t)
        return jnp.mean((out - 1.0) ** 2), out

    gradient, out = compiled(jax.grad(loss, has_aux=True))(fill(net, x, t))
    assert out.shape == (2, 8, 8, net.out_channels) and out.dtype == jnp.float32
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.all(jnp.isfinite(leaf)), path
        assert jnp.any(leaf != 0), path


def test_bfloat16_is_near_float32(fill, compiled):
    x, t = inputs()
    params = fill(small(), x, t)
    exact = compiled(small().apply)(params, x, t)
    rough = compiled(small(dtype=jnp.bfloat16).apply)(params, x, t)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.03


def test_dropout_only_when_training(fill, compiled):
    x, t = inputs()
    net = small(dropout=0.5)
    params = fill(net, x, t)
    rngs = {"dropout": jax.random.key(5)}
    clean = compiled(small().apply)(params, x, t)
    sampling = compiled(lambda: net.apply(params, x, t, rngs=rngs))()
    training = compiled(lambda: net.apply(params, x, t, train=True, rngs=rngs))()
    np.testing.assert_allclose(sampling, clean, atol=1e-5)
    assert not np.allclose(training, clean, atol=1e-3)


def test_time_and_label_change_the_output_of_their_own_image_only(fill, compiled):
    x, t = inputs()
    label = jnp.array([0, 1])
    net = small(num_classes=3)
    params = fill(net, x, t, label)
    apply = compiled(net.apply)
    before = apply(params, x, t, label)
    for after in (
        apply(params, x, t, label.at[1].set(3)),
        apply(params, x, t.at[1].set(5.0), label),
    ):
        np.testing.assert_allclose(after[0], before[0], atol=1e-5)
        assert not np.allclose(after[1], before[1], atol=1e-3)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (12, 3), (2, 3)])
def test_any_size_that_the_levels_divide(size, channels, fill):
    net = small(out_channels=channels, attention_resolutions=())
    x, t = inputs(size, channels)
    out = jax.eval_shape(net.apply, fill(net, x, t), x, t)
    assert out.shape == x.shape


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"multipliers": (1, 2, 2, 2)}, 28, "28x28 image does not halve over 4 levels.*of 8"),
        ({"patch_size": 4}, 12, "12x12 image does not halve over 2 levels .patch_size 4.*of 8"),
        ({"attention_resolutions": (16,)}, 8, r"attention_resolutions \[16\].*\[8, 4\] rows"),
        ({"attention": ("softmax", "softmax")}, 8, "2 kinds of attention for 1 resolutions"),
        ({"attention": "flash"}, 8, "unknown attention 'flash'; known: softmax, "),
        ({"num_heads": 3}, 8, "16 channels do not divide into 3 heads"),
        ({"num_heads": 0, "head_channels": 5}, 8, "16 channels do not divide into heads of 5 chan"),
        ({"num_heads": 0}, 8, "num_heads is 0 and so is head_channels; wanted one of them above 0"),
        ({"downsample_padding": 2}, 8, "downsample_padding is 2, wanted 0 or 1"),
        ({"num_groups": 3}, 8, "8 channels do not divide into 3 groups"),
        ({"norm": "batch"}, 8, "unknown norm 'batch'; known: group, rms"),
        ({"conditioning": "concat"}, 8, "unknown conditioning 'concat'; known: add, film"),
        ({"resampling": "fft"}, 8, "unknown resampling 'fft'; known: conv, pool"),
        ({"time_embedding": "learned"}, 8, "unknown time embedding 'learned'; known: sinu"),
        ({"base_channels": 2, "num_groups": 2}, 8, "even number of features >= 4: 2"),
        ({"num_classes": 5}, 8, "network of 5 classes wants a label, got none"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_refused(options, size, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(small(**options).init, jax.random.key(0), *inputs(size))


def test_an_unconditional_network_takes_no_label():
    with pytest.raises(ValueError, match="unconditional network"):
        jax.eval_shape(small().init, jax.random.key(0), *inputs(), jnp.array([0, 1]))
