"""Augmentation on the device: `f(keys, images) -> (images, changes)`, one key per image, any pixel dtype.

All functions are pure and jittable, so that they can run inside the training step. They keep the shape
and dtype of the images, interpolate in float32, and round if pixels are integers. Pixels beyond an
edge are reflections, never a fill color. `changes` are numbers in [-1, 1] that say what was done to each
image, so that a network can be told (Karras et al. 2022, appendix F.2); zeros: nothing. What changes colors
is in `augment_colors`.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from ddpm_jax.types import Keys, Pixels

Image = Shaped[Array, "H W C"]
Batch = Shaped[Array, "B H W C"]
Changes = Float[Array, "B A"]
Augmentation = Callable[[Keys, Batch], tuple[Batch, Changes]]

COIN = 2**31
"""Folded into an image's key for `sometimes`; the augmentations themselves use small numbers."""


class Variant(NamedTuple):
    """The same change to every image; `whole`: copies of it are searched for in all pixels."""

    name: str
    change: Callable[[Pixels], Pixels]
    whole: bool = False


class Sought(NamedTuple):
    """What a search for copies of training images looks for."""

    variants: Sequence[Variant]
    """Variants of the training images; the first leaves them as they are."""
    in_words: str
    mirrored: bool
    """Whether to look for mirrored copies in features too."""
    augmented_test: Pixels | None = None
    """Test images changed by one draw of the augmentation, where it does more than mirror.

    A generator learns augmented images, and these may lie nearer to training images for that reason alone.
    """


def horizontal_flip(keys: Keys, images: Batch) -> tuple[Batch, Changes]:
    """Each image mirrored left to right with probability 1/2. Changes: 1 where it was."""
    flip = jax.vmap(jax.random.bernoulli)(keys)
    mirrored = jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
    return mirrored, flip[:, None].astype(jnp.float32)


def pad_crop(keys: Keys, images: Batch, *, padding: int = 4) -> tuple[Batch, Changes]:
    """A window of the image's size from the image with `padding` more pixels on every side.

    The usual augmentation of CIFAR-10 (Lee et al. 2015), with reflection instead of zeros. Changes: how
    far the window lies below and right of the middle, as shares of `padding`.
    """

    def one(key: Key[Array, ""], image: Image) -> tuple[Image, Float[Array, "2"]]:
        edges = ((padding, padding), (padding, padding), (0, 0))
        corner = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        start = (corner[0], corner[1], jnp.zeros_like(corner[0]))
        moved = jax.lax.dynamic_slice(jnp.pad(image, edges, "symmetric"), start, image.shape)
        return moved, (corner - padding) / jnp.float32(padding)

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
) -> tuple[Batch, Changes]:
    """A box of `scale` times the image's area and `ratio` width to height, resized to the image's size.

    Szegedy et al. 2014 (section 6). A box that would not fit is cut to the image, where torchvision
    draws again; the ratio is log-uniform, the position uniform. Changes: what the box lacks of the
    image's height and width, and how far its center lies below and right of the image's, as shares of
    the most that is possible.
    """
    most_cut = 1.0 - math.sqrt(scale[0] * min(ratio[0], 1.0 / ratio[1])) or 1.0

    def one(key: Key[Array, ""], image: Image) -> tuple[Image, Float[Array, "4"]]:
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
        cut = jnp.concatenate([size - box, 2.0 * corner - (size - box)]) / jnp.tile(size, 2)
        return as_pixels(resized, image.dtype), cut / most_cut

    return jax.vmap(one)(keys, images)


def rotate(keys: Keys, images: Batch, *, degrees: float = 10.0) -> tuple[Batch, Changes]:
    """Rotate counterclockwise about the center by an angle uniform in [-degrees, degrees].

    Changes: the angle as a share of `degrees`.
    """

    def one(key: Key[Array, ""], image: Image) -> tuple[Image, Float[Array, "1"]]:
        turn = jax.random.uniform(key, (), minval=-degrees, maxval=degrees)
        angle = turn * (math.pi / 180)
        y, x = _from_center(image)
        from_y = jnp.cos(angle) * y + jnp.sin(angle) * x
        from_x = jnp.cos(angle) * x - jnp.sin(angle) * y
        return _looked_up(image, from_y, from_x), turn[None] / degrees

    return jax.vmap(one)(keys, images)


def zoom(keys: Keys, images: Batch, *, most: float = 1.25) -> tuple[Batch, Changes]:
    """Magnify about the center by a factor log-uniform in [1 / most, most]; `most` is above 1.

    Changes: the factor's logarithm as a share of the largest.
    """

    def one(key: Key[Array, ""], image: Image) -> tuple[Image, Float[Array, "1"]]:
        share = jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)
        factor = jnp.exp(share[0] * math.log(most))
        y, x = _from_center(image)
        return _looked_up(image, y / factor, x / factor), share

    return jax.vmap(one)(keys, images)


def sometimes(augmentation: Augmentation, probability: float) -> Augmentation:
    """Change each image with this probability only, and leave the others as they are."""

    def gated(keys: Keys, images: Batch) -> tuple[Batch, Changes]:
        changed, changes = augmentation(keys, images)
        coins = jax.vmap(jax.random.fold_in, (0, None))(keys, jnp.uint32(COIN))
        on = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(coins)
        return jnp.where(on[:, None, None, None], changed, images), changes * on[:, None]

    return gated


def compose(*augmentations: Augmentation) -> Augmentation:
    """Apply the augmentations one after another, each with keys of its own; joins their changes."""

    def composed(keys: Keys, images: Batch) -> tuple[Batch, Changes]:
        found = [jnp.zeros((len(images), 0))]
        for i, augmentation in enumerate(augmentations):
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            images, changes = augmentation(own, images)
            found.append(changes)
        return images, jnp.concatenate(found, axis=1)

    return composed


def _from_center(image: Image) -> tuple[Float[Array, "H W"], Float[Array, "H W"]]:
    """How far each pixel lies below and right of the image's center."""
    height, width, _ = image.shape
    y = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2
    x = jnp.arange(width, dtype=jnp.float32)[None, :] - (width - 1) / 2
    y, x = jnp.broadcast_arrays(y, x)
    return y, x


def _looked_up(image: Image, y: Float[Array, "H W"], x: Float[Array, "H W"]) -> Image:
    """The image whose pixels are those found so far below and right of the image's center."""
    height, width, _ = image.shape
    places = [y + (height - 1) / 2, x + (width - 1) / 2]

    def channel(plane: Float[Array, "H W"]) -> Float[Array, "H W"]:
        return jax.scipy.ndimage.map_coordinates(plane, places, 1, "reflect")

    found = jax.vmap(channel, in_axes=2, out_axes=2)(image.astype(jnp.float32))
    return as_pixels(found, image.dtype)


def as_pixels(values: Float[Array, "H W C"], dtype: jnp.dtype) -> Image:
    """Round and clip if pixels are integers."""
    if jnp.issubdtype(dtype, jnp.integer):
        info = jnp.iinfo(dtype)
        values = jnp.clip(jnp.round(values), info.min, info.max)
    return values.astype(dtype)
