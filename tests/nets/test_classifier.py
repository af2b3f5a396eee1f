"""The classifiers: size, features, noise level, dropout."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import classifier

NETS = {
    "four_conv": classifier.four_conv,
    "resnet": partial(classifier.resnet, widths=(8, 16), blocks_per_stage=1),
}
T = jnp.array([1.0, 800.0])


@pytest.fixture(params=NETS)
def build(request):
    return NETS[request.param]


def images(size=8, channels=3):
    return jax.random.normal(jax.random.key(1), (2, size, size, channels))


def test_the_four_conv_network_has_the_first_systems_parameters():
    # By hand, 64x64x3 and one output: four convolutions, 16,384 -> 128 -> 1.
    by_hand = (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64)
    by_hand += (16 * 16 * 64 * 128 + 128) + (128 + 1)
    params = jax.eval_shape(classifier.four_conv(1).init, jax.random.key(0), images(64))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == by_hand


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3), (64, 3)])
@pytest.mark.parametrize("build", [classifier.four_conv, classifier.resnet])
def test_any_image_size_of_the_studies_fits(build, size, channels):
    for method, width in (("__call__", 10), ("features", 128)):
        init = partial(build(10).init_with_output, method=method)
        out, _ = jax.eval_shape(init, jax.random.key(0), images(size, channels))
        assert out.shape == (2, width)


def test_logits_are_the_head_on_the_features(build, fill, compiled):
    net, x = build(10), images()
    params = fill(net, x)
    features = compiled(partial(net.apply, method="features"))(params, x)
    head = params["params"]["head"]
    want = features @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(compiled(net.apply)(params, x), want, atol=1e-4)


def test_the_noise_level_changes_its_own_image_only(build, fill, compiled):
    net, x = build(4, noise_level=True), images()
    params = fill(net, x, T)
    apply = compiled(net.apply)
    before, after = apply(params, x, T), apply(params, x, T.at[1].set(30.0))
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)
    assert not np.allclose(after[1], before[1], atol=1e-3)
    with pytest.raises(ValueError, match="wants a noise level t, got none"):
        net.apply(params, x)


def test_a_clean_classifier_takes_no_noise_level(build):
    with pytest.raises(ValueError, match="wants no noise level t, got one"):
        jax.eval_shape(build(4).init, jax.random.key(0), images(), T)


def test_dropout_only_when_training(build, fill, compiled):
    net, x = build(4, dropout=0.5), images()
    params = fill(net, x)
    rngs = {"dropout": jax.random.key(5)}
    clean = compiled(build(4).apply)(params, x)
    sampling = compiled(lambda: net.apply(params, x, rngs=rngs))()
    training = compiled(lambda: net.apply(params, x, train=True, rngs=rngs))()
    np.testing.assert_allclose(sampling, clean, atol=1e-5)
    assert not np.allclose(training, clean, atol=1e-3)


def test_every_parameter_gets_a_gradient(build, fill, compiled):
    net, x = build(4, noise_level=True), images()
    gradient = compiled(jax.grad(lambda params: jnp.sum(net.apply(params, x, T) ** 2)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(fill(net, x, T))):
        assert jnp.all(jnp.isfinite(leaf)) and jnp.any(leaf != 0), path


def test_bfloat16_computes_float32_logits_near_those_of_float32(build, fill, compiled):
    x = images()
    params = fill(build(4), x)
    exact = compiled(build(4).apply)(params, x)
    rough = compiled(build(4, dtype=jnp.bfloat16).apply)(params, x)
    assert rough.dtype == jnp.float32
    assert 0 < jnp.linalg.norm(rough - exact) / jnp.linalg.norm(exact) < 0.05


def test_a_size_that_does_not_halve_twice_is_refused():
    with pytest.raises(ValueError, match="10x10 image does not halve twice: wants multiples of 4"):
        jax.eval_shape(classifier.four_conv(4).init, jax.random.key(0), images(10))
