"""GroupNorm against Flax's, RMSNorm against its formula, FiLM against doing it afterwards."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets.normalization import GroupNorm, RMSNorm

X = 3.0 + 2.0 * jax.random.normal(jax.random.key(0), (2, 4, 6, 12))
FILM = tuple(jax.random.normal(jax.random.key(1), (2, 2, 12)))


@pytest.mark.parametrize("num_groups", [1, 3, 12])
def test_group_norm_and_its_gradients_are_those_of_flax(num_groups, fill):
    ours = GroupNorm(num_groups)
    theirs = nn.GroupNorm(num_groups, epsilon=1e-6, use_fast_variance=False)
    params = fill(ours, X)

    def loss(net, params, x):
        return jnp.sum(jnp.sin(net.apply(params, x)))

    np.testing.assert_allclose(ours.apply(params, X), theirs.apply(params, X), atol=1e-5)
    got = jax.grad(loss, argnums=(1, 2))(ours, params, X)
    want = jax.grad(loss, argnums=(1, 2))(theirs, params, X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), got, want)


def test_rms_norm_is_the_formula(fill):
    params = fill(RMSNorm(), X)
    want = X / np.sqrt(np.mean(np.square(X), axis=-1, keepdims=True))
    want = want * params["params"]["scale"][None, None, None]
    np.testing.assert_allclose(RMSNorm().apply(params, X), want, atol=1e-5)


@pytest.mark.parametrize("norm", [GroupNorm(3), RMSNorm()])
def test_film_folded_in_is_film_applied_afterwards(norm, fill):
    params = fill(norm, X)
    scale, shift = (part[:, None, None] for part in FILM)
    want = norm.apply(params, X) * (1.0 + scale) + shift
    np.testing.assert_allclose(norm.apply(params, X, FILM), want, atol=1e-5)


@pytest.mark.parametrize("norm", [GroupNorm(3), RMSNorm()])
def test_statistics_are_float32_in_bfloat16(norm, fill):
    # Squares of values near 10 leave bfloat16 no digits for a spread of 1.
    x = (jax.random.normal(jax.random.key(2), (1, 8, 8, 6)) + 10.0).astype(jnp.bfloat16)
    params = fill(norm, x)
    got = norm.clone(dtype=jnp.bfloat16).apply(params, x)
    want = norm.apply(params, x.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(got, want)


def test_groups_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="12 channels do not divide into 5 groups"):
        GroupNorm(5).init(jax.random.key(0), X)
