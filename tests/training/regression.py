"""A small regression that draws noise, as a stand-in for the diffusion loss in these tests."""

import jax
import jax.numpy as jnp
import numpy as np

from ddpm_jax.training import optim
from ddpm_jax.training import state as states

DECAY = optim.ema_decay(0.99)


def params():
    w = jax.random.split(jax.random.key(7), 2)
    return {
        "first": {"kernel": jax.random.normal(w[0], (3, 8)) * 0.5, "bias": jnp.zeros(8)},
        "second": {"kernel": jax.random.normal(w[1], (8, 2)) * 0.5},
    }


def predict(params, x):
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    return hidden @ params["second"]["kernel"]


def quiet_loss(params, batch, key):
    error = predict(params, batch["x"]) - batch["y"]
    return jnp.mean(error**2), {"largest": jnp.max(jnp.abs(error))}


def noisy_loss(params, batch, key):
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    return quiet_loss(params, batch | {"x": x}, key)


def batch(number, rows=24):
    rng = np.random.default_rng([5, number])
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    return {"x": x, "y": np.stack([x.sum(1), x.prod(1)], axis=1)}


def adam():
    return optim.adam(1e-2, clip_norm=1.0)


def fresh(optimizer=None, loss_fn=noisy_loss):
    return states.create(params(), optimizer or adam(), loss_fn, batch(0))


def closest(tree, other):
    """The largest difference of two trees, relative to the largest entry."""
    size = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    apart = jax.tree.map(
        lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), tree, other
    )
    return max(jax.tree.leaves(apart)) / size
