"""The classifiers: size, features, noise level, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import classifier

NETS = {"four_conv": classifier.four_conv, "resnet": classifier.resnet}


@pytest.fixture(params=NETS)
def build(request):
    return NETS[request.param]


def inputs(size=8, channels=3):
    return jax.random.normal(jax.random.key(1), (2, size, size, channels))


def init(net, *args):
    return jax.jit(net.init)(jax.random.key(0), *args)


def test_the_four_conv_network_has_the_first_systems_parameters():
    # By hand, 64x64x3 and one output: four convolutions, 16,384 -> 128 -> 1.
    by_hand = (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64)
    by_hand += (16 * 16 * 64 * 128 + 128) + (128 + 1)
    net = classifier.four_conv(1)
    params = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == by_hand


@pytest.mark.parametrize("size", [8, 28, 32])
def test_logits_are_the_head_on_the_features(build, size):
    net, x = build(10), inputs(size, 1)
    params = init(net, x)
    logits = net.apply(params, x)
    features = net.apply(params, x, method="features")
    assert logits.shape == (2, 10) and features.shape == (2, 128)
    head = params["params"]["head"]
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"][None], atol=1e-4)


def test_the_noise_level_matters_where_it_was_asked_for(build):
    net, x = build(4, noise_level=True), inputs()
    params = init(net, x, jnp.ones(2))
    near, far = (net.apply(params, x, jnp.full(2, t)) for t in (1.0, 800.0))
    assert not np.allclose(near, far)
    with pytest.raises(ValueError, match="wants a noise level t, got none"):
        net.apply(params, x)


def test_a_clean_classifier_takes_no_noise_level(build):
    x = inputs()
    with pytest.raises(ValueError, match="wants no noise level t, got one"):
        init(build(4), x, jnp.ones(2))


def test_dropout_only_when_training(build):
    net, x = build(4, dropout=0.5), inputs()
    params = init(net, x)
    rngs = {"dropout": jax.random.key(5)}
    np.testing.assert_array_equal(net.apply(params, x), net.apply(params, x, rngs=rngs))
    assert not np.allclose(net.apply(params, x), net.apply(params, x, train=True, rngs=rngs))


def test_bfloat16_computes_float32_logits_near_those_of_float32(build):
    x = inputs()
    params = init(build(4), x)
    exact, rough = build(4).apply(params, x), build(4, dtype=jnp.bfloat16).apply(params, x)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.05


def test_a_size_that_does_not_halve_twice_is_refused():
    with pytest.raises(ValueError, match="10x10 image does not halve twice: wants multiples of 4"):
        init(classifier.four_conv(4), inputs(10))
