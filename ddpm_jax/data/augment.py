"""Augmentation on the device: `f(keys, images) -> images`, one key per image, any pixel dtype.

All functions are pure and jittable, so that they can run inside the training step. They keep the shape
and dtype of the images, interpolate in float32, and round if pixels are integers. Pixels beyond an
edge are reflections, never a fill color. What changes colors is in `augment_colors`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from ddpm_jax.types import Keys, Pixels

Image = Shaped[Array, "H W C"]
Batch = Shaped[Array, "B H W C"]
Augmentation = Callable[[Keys, Batch], Batch]


class Variant(NamedTuple):
    """The same change to every image; `whole`: copies of it are searched for in all pixels."""

    name: str
    change: Callable[[Pixels], Pixels]
    whole: bool = False


def horizontal_flip(keys: Keys, images: Batch) -> Batch:
    """Each image mirrored left to right with probability 1/2."""
    flip = jax.vmap(jax.random.bernoulli)(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def pad_crop(keys: Keys, images: Batch, *, padding: int = 4) -> Batch:
    """A window of the image's size from the image with `padding` more pixels on every side.

    The usual augmentation of CIFAR-10 (Lee et al. 2015), with reflection instead of zeros.
    """

    def one(key: Key[Array, ""], image: Image) -> Image:
        edges = ((padding, padding), (padding, padding), (0, 0))
        corner = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        start = (corner[0], corner[1], jnp.zeros_like(corner[0]))
        return jax.lax.dynamic_slice(jnp.pad(image, edges, "symmetric"), start, image.shape)

    return jax.vmap(one)(keys, images)


def window(images: Pixels, y: int, x: int, *, padding: int) -> Pixels:
    """The window of `pad_crop` that lies `y` pixels below and `x` right of the middle, in NumPy."""
    edges = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    _, height, width, _ = images.shape
    padded = np.pad(images, edges, "symmetric")
    return padded[:, padding + y :, padding + x :][:, :height, :width]


def mirrored(images: Pixels) -> Pixels:
    """All images mirrored left to right, in NumPy."""
    return images[:, :, ::-1]


def random_resized_crop(
    keys: Keys,
    images: Batch,
    *,
    scale: tuple[float, float] = (0.8, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Batch:
    """A box of `scale` times the image's area and `ratio` width to height, resized to the image's size.

    Szegedy et al. 2014 (section 6). A box that would not fit is cut to the image, where torchvision
    draws again; the ratio is log-uniform, the position uniform.
    """

    def one(key: Key[Array, ""], image: Image) -> Image:
        size = jnp.array(image.shape[:2], jnp.float32)
        area_key, ratio_key, place_key = jax.random.split(key, 3)
        area = jax.random.uniform(area_key, (), minval=scale[0], maxval=scale[1]) * size.prod()
        log_ratio = jax.random.uniform(
            ratio_key, (), minval=math.log(ratio[0]), maxval=math.log(ratio[1])
        )
        sides = jnp.sqrt(area * jnp.exp(jnp.stack([-log_ratio, log_ratio])))  # height, width
        box = jnp.minimum(sides, size)
        corner = jax.random.uniform(place_key, (2,)) * (size - box)
        zoom = size / box
        resized = jax.image.scale_and_translate(
            image.astype(jnp.float32), image.shape, (0, 1), zoom, -corner * zoom, "linear"
        )
        return as_pixels(resized, image.dtype)

    return jax.vmap(one)(keys, images)


def rotate(keys: Keys, images: Batch, *, degrees: float = 10.0) -> Batch:
    """Rotate counterclockwise about the center by an angle uniform in [-degrees, degrees]."""

    def one(key: Key[Array, ""], image: Image) -> Image:
        angle = jax.random.uniform(key, (), minval=-degrees, maxval=degrees) * (math.pi / 180)
        height, width, _ = image.shape
        y = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2
        x = jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2
        y, x = jnp.broadcast_arrays(y, x)
        from_y = jnp.cos(angle) * y + jnp.sin(angle) * x + (height - 1) / 2
        from_x = jnp.cos(angle) * x - jnp.sin(angle) * y + (width - 1) / 2

        def channel(plane: Float[Array, "H W"]) -> Float[Array, "H W"]:
            return jax.scipy.ndimage.map_coordinates(plane, [from_y, from_x], 1, "reflect")

        turned = jax.vmap(channel, in_axes=2, out_axes=2)(image.astype(jnp.float32))
        return as_pixels(turned, image.dtype)

    return jax.vmap(one)(keys, images)


def compose(*augmentations: Augmentation) -> Augmentation:
    """Apply the augmentations one after another, each with keys of its own."""

    def composed(keys: Keys, images: Batch) -> Batch:
        for i, augmentation in enumerate(augmentations):
            images = augmentation(jax.vmap(jax.random.fold_in, (0, None))(keys, i), images)
        return images

    return composed


def as_pixels(values: Float[Array, "H W C"], dtype: jnp.dtype) -> Image:
    """Round and clip if pixels are integers."""
    if jnp.issubdtype(dtype, jnp.integer):
        info = jnp.iinfo(dtype)
        values = jnp.clip(jnp.round(values), info.min, info.max)
    return values.astype(dtype)
