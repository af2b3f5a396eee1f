"""From an augment section to one function of the images."""

from functools import partial

from ml_collections import ConfigDict

from ddpm_jax.data import augment


def build_augmentation(config: ConfigDict) -> augment.Augmentation:
    """Crop, rotate, shift, flip, in this order; what is off costs nothing."""
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
