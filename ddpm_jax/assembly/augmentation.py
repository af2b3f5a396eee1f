"""From an augment section to one function of the images."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import augment
from ddpm_jax.types import Pixels

COPIES_AT_ONCE = 1024  # of one shape, compiled once


def build_augmentation(config: ConfigDict) -> augment.Augmentation:
    """Crop, rotate, shift and flip, in this order; a step that is off costs nothing."""
    steps: list[augment.Augmentation] = []
    if config.crop_scale != 1.0:
        ratio = (1.0 / config.crop_ratio, config.crop_ratio)
        scale = (config.crop_scale, 1.0)
        steps.append(partial(augment.random_resized_crop, scale=scale, ratio=ratio))
    if config.rotation:
        steps.append(partial(augment.rotate, degrees=config.rotation))
    if config.shift:
        steps.append(partial(augment.pad_crop, padding=config.shift))
    if config.flip:
        steps.append(augment.horizontal_flip)
    return augment.compose(*steps)


def build_copies(config: ConfigDict) -> Callable[[Pixels, int], Pixels]:
    """`copies(images, seed)`: a changed copy of each image; copy i depends on (seed, i) alone."""
    change = jax.jit(build_augmentation(config))

    def copies(images: Pixels, seed: int) -> Pixels:
        key = key_for(seed, "augmented copies")
        parts = []
        for start in range(0, len(images), COPIES_AT_ONCE):
            rows = np.arange(start, start + COPIES_AT_ONCE)
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(rows)
            parts.append(np.asarray(change(keys, jnp.take(images, rows, axis=0, mode="clip"))))
        return np.concatenate(parts)[: len(images)]

    return copies
