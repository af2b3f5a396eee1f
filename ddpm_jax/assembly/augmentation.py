"""From an augment section to one function of the images."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import augment, augment_colors
from ddpm_jax.types import Keys, Pixels

COPIES_AT_ONCE = 1024  # of one shape, compiled once
SMALLEST_CROP = 0.08  # of the area, as in Szegedy et al. 2014


def build_augmentation(config: ConfigDict) -> Callable[[Keys, augment.Batch], augment.Batch]:
    """`config` is the section `augment`, or `classifier.augment`, which has more fields and a strength.

    Crop, zoom, rotate, shift and flip, then brightness, contrast, saturation and cutout, in this order; a
    step that is off costs nothing.
    """
    change = build_told(config)
    return lambda keys, images: change(keys, images)[0]


def build_told(config: ConfigDict) -> augment.Augmentation:
    """`build_augmentation`, which also tells how each image was moved: see `augment`.

    Raises ValueError if a field is out of its range.
    """
    if not 0.0 < config.probability <= 1.0:
        raise ValueError(
            f"augment.probability is {config.probability:g}; it must be above 0 and at most 1"
        )
    if "strength" not in config:
        steps = list(_places(config))
    elif config.strength == 0:
        steps = []
    else:
        scaled = at_strength(config)
        steps = [*_places(scaled), *map(augment_colors.untold, _colors(scaled))]
    if config.probability != 1.0:
        steps = [augment.sometimes(step, config.probability) for step in steps]
    return augment.compose(*steps)


def _places(config: ConfigDict) -> Iterator[augment.Augmentation]:
    if config.crop_scale != 1.0:
        ratio = (1.0 / config.crop_ratio, config.crop_ratio)
        scale = (config.crop_scale, 1.0)
        yield partial(augment.random_resized_crop, scale=scale, ratio=ratio)
    if config.zoom < 1.0:
        raise ValueError(f"augment.zoom is {config.zoom:g}; it must be at least 1")
    if config.zoom != 1.0:
        yield partial(augment.zoom, most=config.zoom)
    if config.rotation:
        yield partial(augment.rotate, degrees=config.rotation)
    if config.shift:
        yield partial(augment.pad_crop, padding=config.shift)
    if config.flip:
        yield augment.horizontal_flip


def _colors(config: ConfigDict) -> Iterator[augment_colors.Change]:
    if config.brightness:
        yield partial(augment_colors.brightness, amount=config.brightness)
    if config.contrast:
        yield partial(augment_colors.contrast, amount=config.contrast)
    if config.saturation:
        yield partial(augment_colors.saturation, amount=config.saturation)
    if config.cutout:
        yield partial(augment_colors.cutout, share=config.cutout)


def at_strength(section: ConfigDict) -> ConfigDict:
    """The section with its ranges times its strength; a crop keeps at least `SMALLEST_CROP` of the area.

    Raises ValueError if the strength is negative.
    """
    strength = section.strength
    if strength < 0:
        raise ValueError(f"classifier.augment.strength is {strength}; it must not be negative")
    scaled = section.copy_and_resolve_references()
    for name in ("rotation", "brightness", "contrast", "saturation"):
        scaled[name] = strength * section[name]
    kept = section.crop_scale + (1.0 - strength) * (1.0 - section.crop_scale)
    scaled.crop_scale = max(SMALLEST_CROP, kept)
    scaled.crop_ratio = section.crop_ratio**strength
    scaled.zoom = section.zoom**strength
    scaled.shift = round(strength * section.shift)
    scaled.cutout = min(1.0, strength * section.cutout)
    return scaled


def mixup_alpha(section: ConfigDict) -> float:
    """The alpha of mixup at the strength of `classifier.augment`; 0: none."""
    return section.strength * section.mixup


def num_told(config: ConfigDict) -> int:
    """How many numbers tell how an image was changed; 0: the section changes nothing."""
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
    return jax.eval_shape(build_told(config), keys, image)[1].shape[1]


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
