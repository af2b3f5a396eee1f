"""Augmentation of colors and of parts: `f(keys, images) -> images`, as in `augment`.

Black and white are 0 and 255 where pixels are uint8, and -1 and 1 where they are floats. The jitter is
torchvision's: a factor f uniform in [max(0, 1 - amount), 1 + amount] gives `f x + (1 - f) other`, clipped to
black and white. Only the order of the three is fixed here, and drawn there.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ddpm_jax.data.augment import Augmentation, Batch, Changes, Image, as_pixels
from ddpm_jax.types import Keys

GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601)."""

Change = Callable[[Keys, Batch], Batch]

Unit = Float[Array, "H W C"]
"""0 is black, 1 is white."""


def brightness(keys: Keys, images: Batch, *, amount: float) -> Batch:
    """Each image mixed with black."""
    return _blended(keys, images, amount, jnp.zeros_like)


def contrast(keys: Keys, images: Batch, *, amount: float) -> Batch:
    """Each image mixed with the mean of its gray values."""
    return _blended(keys, images, amount, lambda image: jnp.full_like(image, _gray(image).mean()))


def saturation(keys: Keys, images: Batch, *, amount: float) -> Batch:
    """Each image mixed with itself in gray; changes nothing in images of one channel."""
    if images.shape[-1] == 1:
        return images
    return _blended(keys, images, amount, lambda image: jnp.broadcast_to(_gray(image), image.shape))


def cutout(keys: Keys, images: Batch, *, share: float) -> Batch:
    """A square replaced by the image's mean color; its side is `share` of the image's shorter side.

    DeVries & Taylor 2017: the square's middle is uniform over the image's pixels, so that a part of the
    square may lie outside. They fill with the mean of all training images, to which they normalize.
    """

    def one(key: Key[Array, ""], image: Image) -> Image:
        height, width, _ = image.shape
        side = round(share * min(height, width))
        y_key, x_key = jax.random.split(key)
        top = jax.random.randint(y_key, (), 0, height) - side // 2
        left = jax.random.randint(x_key, (), 0, width) - side // 2
        rows, columns = jnp.arange(height)[:, None, None], jnp.arange(width)[None, :, None]
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        mean = image.astype(jnp.float32).mean((0, 1), keepdims=True)
        return jnp.where(inside, as_pixels(mean, image.dtype), image)

    return jax.vmap(one)(keys, images)


def mixup(
    keys: Keys, images: Float[Array, "B H W C"], labels: Float[Array, "B K"], *, alpha: float
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
    """Each image, and its probabilities of classes, mixed with those of the one before it in the batch.

    Zhang et al. 2018, equation 1, with a share of its own for each image, Beta(alpha, alpha), where they
    draw one for the batch. The rows of a batch are already in random order.
    """
    share = jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)

    def mixed(values: Array) -> Array:
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        return weight * values + (1 - weight) * jnp.roll(values, 1, axis=0)

    return mixed(images), mixed(labels)


def untold(change: Change) -> Augmentation:
    """The change, of which a network is told nothing."""

    def changed(keys: Keys, images: Batch) -> tuple[Batch, Changes]:
        return change(keys, images), jnp.zeros((len(images), 0))

    return changed


def _blended(keys: Keys, images: Batch, amount: float, other: Callable[[Unit], Unit]) -> Batch:
    def one(key: Key[Array, ""], image: Image) -> Image:
        integers = jnp.issubdtype(image.dtype, jnp.integer)
        x = image.astype(jnp.float32) / 255 if integers else (image.astype(jnp.float32) + 1) / 2
        factor = jax.random.uniform(key, (), minval=max(0.0, 1 - amount), maxval=1 + amount)
        x = jnp.clip(factor * x + (1 - factor) * other(x), 0, 1)
        return as_pixels(255 * x if integers else 2 * x - 1, image.dtype)

    return jax.vmap(one)(keys, images)


def _gray(image: Unit) -> Float[Array, "H W 1"]:
    if image.shape[-1] == 1:
        return image
    return jnp.sum(image * jnp.array([[GRAY]]), axis=-1, keepdims=True)
