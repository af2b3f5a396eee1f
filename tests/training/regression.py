"""A small regression that draws noise: it stands in for the diffusion loss in these tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ddpm_jax.training import compilation, devices, loop, optim
from ddpm_jax.training import state as states
from ddpm_jax.training import step as steps

DECAY = optim.ema_decay(0.99)
KEY_SEED = 3


def params():
    keys = jax.random.split(jax.random.key(7), 2)
    return {
        "first": {"kernel": jax.random.normal(keys[0], (3, 8)) * 0.5, "bias": jnp.zeros(8)},
        "second": {"kernel": jax.random.normal(keys[1], (8, 2)) * 0.5},
    }


def predict(params, x):
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    return hidden @ params["second"]["kernel"]


def quiet_loss(params, batch, key):
    error = predict(params, batch["x"]) - batch["y"]
    return jnp.mean(error**2), {"mean_error": jnp.mean(jnp.abs(error))}


def noisy_loss(params, batch, key):
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    return quiet_loss(params, {"x": x, "y": batch["y"]}, key)


def batch(number, rows=24):
    rng = np.random.default_rng([5, number])
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    return {"x": x, "y": np.stack([x.sum(1), x.prod(1)], axis=1)}


def adam():
    return optim.adam(1e-2, clip_norm=1.0)


def fresh(loss_fn=noisy_loss):
    return states.create(params(), adam(), loss_fn, batch(0))


@functools.cache
def compiled_step(placement, loss_fn, ema_decay=DECAY, **options):
    step = steps.make_train_step(
        loss_fn, adam(), ema_decay=ema_decay, axis_name=placement.axis_name, **options
    )
    return compilation.compile_step(placement, step)


def train(
    placement, num_steps, *, state=None, loss_fn=noisy_loss, log_every=10, batches=batch, **options
):
    """Returns the state and the log lines; `options` go to the step, or else to the loop."""
    to_loop = {name: options.pop(name) for name in ("actions", "stop") if name in options}
    state = devices.replicate(placement, fresh(loss_fn)) if state is None else state
    rows = devices.local_rows(placement, 24)
    lines = []
    state = loop.run(
        compiled_step(placement, loss_fn, **options),
        state,
        (
            devices.put_batch(placement, {name: a[rows] for name, a in batches(i).items()})
            for i in range(int(state.step), 10**6)
        ),
        key=jax.random.key(KEY_SEED),
        num_steps=num_steps,
        log_every=log_every,
        on_log=lambda step, values: lines.append((step, values)),
        **to_loop,
    )
    return state, lines


def gap(tree, other):
    """The largest difference between two trees, relative to the largest entry."""
    ours, theirs = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (tree, other)
    )
    return np.abs(ours - theirs).max() / np.abs(ours).max()
