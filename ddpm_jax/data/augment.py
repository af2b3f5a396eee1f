"""Augmentation on the device, inside the jitted step: `f(keys, images) -> images`."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Shaped

Keys = Key[Array, "B"]
Batch = Shaped[Array, "B H W C"]


def horizontal_flip(keys: Keys, images: Batch) -> Batch:
    """Each image mirrored left to right with probability 1/2."""
    flip = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
