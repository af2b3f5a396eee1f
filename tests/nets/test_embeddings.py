"""Time and label embeddings against the formula written out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import embeddings


@pytest.mark.parametrize("max_period", [10_000.0, 1_000.0])
def test_sinusoidal_is_sines_then_cosines_of_geometric_frequencies(max_period):
    got = embeddings.sinusoidal(jnp.array([1.0, 537.0]), 8, max_period)
    for row, t in zip(got, (1.0, 537.0), strict=True):
        # Ho et al.'s last frequency is 1/max_period itself: i runs to half - 1.
        frequencies = [math.exp(-math.log(max_period) * i / 3) for i in range(4)]
        want = [math.sin(t * f) for f in frequencies] + [math.cos(t * f) for f in frequencies]
        np.testing.assert_allclose(row, want, atol=1e-4)


@pytest.mark.parametrize("features", [2, 7])
def test_sinusoidal_refuses_a_number_of_features_that_it_cannot_fill(features):
    with pytest.raises(ValueError, match=f"even number of features >= 4: {features}"):
        embeddings.sinusoidal(jnp.ones(1), features)


def test_the_mlp_reads_t_as_a_fraction_of_max_t(fill):
    t = jnp.array([10.0, 500.0])
    fraction = embeddings.Conditioning(8, 0, kind="mlp")
    params = fill(fraction, t)
    steps = embeddings.Conditioning(8, 0, kind="mlp", max_t=1000.0)
    np.testing.assert_allclose(
        steps.apply(params, t), fraction.apply(params, t / 1000.0), rtol=1e-6
    )


def test_a_label_adds_its_own_row_and_one_beyond_the_null_class_is_nan(fill):
    h, label = jnp.ones((5, 4)), jnp.array([0, 1, 2, 3, 4])
    net = embeddings.AddLabel(3)
    params = fill(net, h, label)
    got = net.apply(params, h, label)
    table = params["params"]["table"]["embedding"]
    np.testing.assert_allclose(got[:4], 1.0 + table, rtol=1e-6)
    assert jnp.all(jnp.isnan(got[4]))


def test_changes_are_added_by_a_linear_map_that_begins_at_zero_and_has_no_bias(fill):
    h, changes = jnp.ones((2, 4)), jnp.array([[1.0, -0.5, 0.0], [0.0, 0.0, 0.0]])
    net = embeddings.AddChanges(3)
    begin = net.init(jax.random.key(0), h, changes)
    np.testing.assert_array_equal(net.apply(begin, h, changes), h)
    params = fill(net, h, changes)
    (kernel,) = jax.tree.leaves(params)
    got = net.apply(params, h, changes)
    np.testing.assert_allclose(got, 1.0 + changes @ kernel, rtol=1e-5)
    np.testing.assert_array_equal(got[1], h[1])
    np.testing.assert_array_equal(net.apply(params, h, None), h)


@pytest.mark.parametrize(("takes", "given"), [(3, 2), (0, 1), (3, 0)])
def test_as_many_changes_are_wanted_as_the_network_takes(takes, given):
    net = embeddings.AddChanges(takes)
    with pytest.raises(ValueError, match=f"takes {takes} changes of each image, got {given}"):
        net.init(jax.random.key(0), jnp.ones((2, 4)), jnp.ones((2, given)))
