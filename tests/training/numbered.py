"""Checkpoints of which every number says which step they are of."""

import jax
import jax.numpy as jnp
import numpy as np
import regression

from ddpm_jax.training import checkpoints, devices


def over(num_devices):
    return devices.place("jit", jax.devices()[:num_devices])


def state_at(step):
    state = devices.replicate(over(1), regression.fresh())
    numbered = jax.tree.map(lambda leaf: jnp.full_like(leaf, step), state)
    return numbered.replace(nonfinite_step=state.nonfinite_step)


def target(num_devices=1):
    return devices.abstract(over(num_devices), regression.fresh())


def save_steps(folder, *steps, keep=5, **losses):
    with checkpoints.saver(folder, keep=keep) as save:
        for step in steps:
            save(state_at(step), validation_loss=losses.get(f"loss_{step}"))


def assert_same(a, b):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p))


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return bytes(content)
