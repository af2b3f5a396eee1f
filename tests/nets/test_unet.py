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
    dropout=0.5,
)


def small(**options):
    return UNet(**(SMALL | options))


def inputs(size=8, channels=3, batch=2):
    x = jax.random.normal(jax.random.key(1), (batch, size, size, channels))
    return x, jnp.array([1.0, 900.0])[:batch]


def init(net, x, t, *label):
    return jax.jit(net.init)(jax.random.key(2), x, t, *label)


def perturbed(params):
    """Random parameters everywhere, so that nothing that starts at zero hides an effect."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    return tree.unflatten(
        [
            leaf + 0.1 * jax.random.normal(key, leaf.shape)
            for leaf, key in zip(leaves, keys, strict=True)
        ]
    )


def count(net, size=32, channels=3, label=False):
    x = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    t = jax.ShapeDtypeStruct((1,), jnp.float32)
    label = [jax.ShapeDtypeStruct((1,), jnp.int32)] if label else []
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(net.init, KEY(), x, t, *label)))


def KEY():
    return jax.ShapeDtypeStruct((), jax.random.key(0).dtype)


def test_the_defaults_are_the_papers_cifar10_network_to_the_last_parameter():
    # 35.7 M in Ho et al. 2020, B; 35,746,307 is the exact count of their published network.
    assert count(UNet(out_channels=3)) == 35_746_307


def test_class_conditioning_adds_one_row_of_the_embedding_a_class_and_a_null_one():
    assert count(UNet(out_channels=3, num_classes=10), label=True) == 35_746_307 + 11 * 512


def test_learned_variance_adds_one_filter_a_channel():
    assert count(UNet(out_channels=6)) == 35_746_307 + 3 * (9 * 128 + 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conditioning": "film"},
        {"norm": "rms"},
        {"resampling": "pool"},
        {"time_embedding": "mlp"},
        {"attention": "none", "middle_attention": "none"},
        {"attention": "linear_softmax", "num_heads": 2, "head_channels": 4},
        {"attention": "linear_elu", "middle_attention": "linear_elu", "num_heads": 4},
        {"attention_resolutions": (8, 4), "attention": ("linear_softmax", "softmax")},
        {"patch_size": 2, "attention_resolutions": (2,)},
        {"out_channels": 6},
        {"dtype": jnp.bfloat16},
    ],
    ids=str,
)
def test_every_option_compiles_starts_at_zero_and_trains(options):
    net = small(**options)
    x, t = inputs()
    params = init(net, x, t)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))

    @jax.jit
    def loss(params):
        out = net.apply(params, x, t, train=True, rngs={"dropout": jax.random.key(4)})
        return jnp.mean((out - 1.0) ** 2), out

    (_, out), _ = jax.value_and_grad(loss, has_aux=True)(params)
    assert out.shape == (2, 8, 8, net.out_channels) and out.dtype == jnp.float32
    np.testing.assert_array_equal(out, 0.0)  # the last convolution starts at zero
    (_, out), gradient = jax.value_and_grad(loss, has_aux=True)(perturbed(params))
    assert jnp.std(out) > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.all(jnp.isfinite(leaf)), path
        # A constant on the keys cancels in every softmax over keys.
        if "key" not in str(path):
            assert jnp.any(leaf != 0), path


def test_bfloat16_is_near_float32():
    x, t = inputs()
    params = perturbed(init(small(), x, t))
    exact = small().apply(params, x, t)
    rough = small(dtype=jnp.bfloat16).apply(params, x, t)
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.03


def test_dropout_only_when_training():
    x, t = inputs()
    net = small()
    params = perturbed(init(net, x, t))
    clean = net.apply(params, x, t)
    np.testing.assert_array_equal(clean, net.apply(params, x, t, train=False))
    rngs = {"dropout": jax.random.key(5)}
    dropped = net.apply(params, x, t, train=True, rngs=rngs)
    assert not np.allclose(clean, dropped)
    without = small(dropout=0.0).apply(params, x, t, train=True)
    np.testing.assert_allclose(without, clean, atol=1e-5)


def test_time_and_label_change_the_output_of_their_own_image_only():
    x, t = inputs()
    net = small(num_classes=3)
    label = jnp.array([0, 1])
    params = perturbed(init(net, x, t, label))
    before = net.apply(params, x, t, label)
    for after in (
        net.apply(params, x, t, label.at[1].set(3)),
        net.apply(params, x, t.at[1].set(5.0), label),
    ):
        np.testing.assert_allclose(after[0], before[0], atol=1e-5)
        assert not np.allclose(after[1], before[1], atol=1e-3)


def test_a_label_beyond_the_null_class_is_nan_not_another_class():
    x, t = inputs()
    net = small(num_classes=3)
    params = perturbed(init(net, x, t, jnp.array([0, 1])))
    assert jnp.all(jnp.isnan(net.apply(params, x, t, jnp.array([0, 4]))[1]))


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (1, 8, 12, 3), (1, 4, 4, 1)])
def test_any_size_that_the_levels_divide(shape):
    net = small(out_channels=shape[-1], attention="none", attention_resolutions=())
    x, t = jnp.zeros(shape), jnp.ones(1)
    assert net.apply(init(net, x, t), x, t).shape == shape


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"multipliers": (1, 2, 2, 2)}, 28, "28x28 image does not halve over 4 levels.*of 8"),
        ({"patch_size": 4}, 12, "12x12 image does not halve over 2 levels .patch_size 4.*of 8"),
        ({"attention_resolutions": (16,)}, 8, r"attention_resolutions \[16\].*\[8, 4\] rows"),
        ({"attention": ("softmax", "softmax")}, 8, "2 kinds of attention for 1 resolutions"),
        ({"attention": "flash"}, 8, "unknown attention 'flash'; known: softmax, "),
        ({"num_heads": 3}, 8, "16 channels do not divide into 3 heads"),
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
    x, t = inputs(size)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(small(**options).init, KEY(), x, t)


def test_an_unconditional_network_takes_no_label():
    x, t = inputs()
    with pytest.raises(ValueError, match="unconditional network"):
        jax.eval_shape(small().init, KEY(), x, t, jnp.array([0, 1]))
