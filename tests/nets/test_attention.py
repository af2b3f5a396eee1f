"""Each kind of attention against plain loops over queries, keys and heads."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax.nets import attention
from ddpm_jax.nets.normalization import GroupNorm

B, N, HEADS, D = 2, 5, 3, 4
QKV = tuple(jax.random.normal(jax.random.key(0), (3, B, N, HEADS, D)))


def elu_plus_one(u):
    return np.where(u > 0, u + 1, np.exp(u))


def weights_of(kind, q, k):
    """The N x N weights of one head of one image, from its q and k [N, D], in plain loops."""
    weights = np.zeros((len(q), len(k)))
    for i in range(len(q)):
        for j in range(len(k)):
            if kind == "softmax":
                logits = [q[i] @ k[n] / np.sqrt(D) for n in range(len(k))]
                weights[i, j] = np.exp(logits[j]) / np.sum(np.exp(logits))
            else:
                feature = np.exp if kind == "linear_softmax" else elu_plus_one
                a = feature(q[i]) / np.sum(feature(q[i]))
                b = feature(k[j]) / np.sum(feature(k), axis=0)
                weights[i, j] = np.sum(a * b)
    return weights


@pytest.mark.parametrize("kind", attention.KINDS)
def test_attention_is_the_double_loop_over_queries_and_keys(kind):
    got = attention.KINDS[kind](*QKV)
    q, k, v = (np.asarray(part, np.float64) for part in QKV)
    for image in range(B):
        for head in range(HEADS):
            weights = weights_of(kind, q[image, :, head], k[image, :, head])
            # Over keys, not queries: a convex combination of the values.
            np.testing.assert_allclose(weights.sum(axis=1), 1.0)
            assert not np.allclose(weights.sum(axis=0), 1.0)
            np.testing.assert_allclose(got[image, :, head], weights @ v[image, :, head], atol=1e-5)


@pytest.mark.parametrize("kind", attention.KINDS)
def test_the_module_lays_out_pixels_heads_and_channels_as_plain_loops_do(kind, fill, compiled):
    x = jax.random.normal(jax.random.key(1), (2, 3, 5, 8))
    net = attention.SelfAttention(kind, 2, head_channels=D, norm=partial(GroupNorm, 4))
    params = fill(net, x)
    got = compiled(net.apply)(params, x) - x

    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    normed = np.asarray(GroupNorm(4).apply({"params": params["params"]["norm"]}, x), np.float64)
    for image in range(2):
        pixels = np.stack([normed[image, row, col] for row in range(3) for col in range(5)])
        q, k, v = np.split(pixels @ p["qkv"]["kernel"] + p["qkv"]["bias"], 3, axis=1)
        heads = []
        for head in range(2):
            own = slice(head * D, (head + 1) * D)
            heads.append(weights_of(kind, q[:, own], k[:, own]) @ v[:, own])
        want = np.concatenate(heads, axis=1) @ p["out"]["kernel"] + p["out"]["bias"]
        if kind == "linear_softmax":
            want = want / np.sqrt(np.mean(want**2, axis=1, keepdims=True)) * p["out_norm"]["scale"]
        for row in range(3):
            for col in range(5):
                np.testing.assert_allclose(got[image, row, col], want[row * 5 + col], atol=2e-4)


def test_heads_of_one_width_share_the_channels(fill):
    x = jax.random.normal(jax.random.key(1), (2, 3, 5, 8))
    given = attention.SelfAttention(num_heads=4)
    params = fill(given, x)
    open_number = attention.SelfAttention(num_heads=0, head_channels=2)
    np.testing.assert_array_equal(open_number.apply(params, x), given.apply(params, x))


@pytest.mark.parametrize("kind", attention.KINDS)
def test_attention_starts_as_the_identity_and_can_leave_it(kind, compiled):
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 8))
    net = attention.SelfAttention(kind, num_heads=2)
    params = compiled(net.init)(jax.random.key(2, impl="rbg"), x)
    loss = compiled(
        jax.grad(lambda params: (jnp.sum((y := net.apply(params, x)) ** 2), y), has_aux=True)
    )
    gradient, y = loss(params)
    np.testing.assert_array_equal(y, x)
    assert any(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_softmax_in_bfloat16_takes_its_softmax_in_float32():
    q, k, v = (part.astype(jnp.bfloat16) for part in QKV)
    got = attention.softmax(q, k, v)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), attention.softmax(*QKV), atol=0.03)
