"""The Inception network of 2015 that FID, KID and the Inception Score are defined with, in Flax.

It is not the Inception-v3 of any model zoo. Its averages leave out the padding, and its last block
takes a maximum where the paper (Szegedy et al. 2016) takes an average. Convolutions have the names
of PyTorch's modules, and the batch normalization behind each is folded into it (see
`inception_weights`).
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

SIDE = 299
Maps = Float[Array, "B _ _ _"]
Unit = tuple[Any, ...]
"""A convolution: name, features, and unless they are POINTWISE, kernel, stride and padding."""
POINTWISE: Unit = ((1, 1), 1, "SAME")


class Inception(nn.Module):
    """Map images in [-1, 1], at least 75x75, to the 2048 features before the classifier."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 3"]) -> Float[Array, "B 2048"]:
        x = _chain(
            x,
            "",
            ("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
            ("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
            ("Conv2d_2b_3x3", 64, (3, 3)),
        )
        x = _halve(x)
        x = _chain(x, "", ("Conv2d_3b_1x1", 80), ("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"))
        x = _halve(x)
        for name, pooled in (("Mixed_5b.", 32), ("Mixed_5c.", 64), ("Mixed_5d.", 64)):
            x = _mixed_35(x, name, pooled)
        x = _reduce_35(x, "Mixed_6a.")
        for name, narrow in (
            ("Mixed_6b.", 128), ("Mixed_6c.", 160), ("Mixed_6d.", 160), ("Mixed_6e.", 192)
        ):  # fmt: skip
            x = _mixed_17(x, name, narrow)
        x = _reduce_17(x, "Mixed_7a.")
        x = _mixed_8(x, "Mixed_7b.", _average)
        x = _mixed_8(x, "Mixed_7c.", _maximum)
        return x.mean(axis=(1, 2))


def preprocess_tensorflow(images: UInt8[Array, "B H W C"]) -> Float[Array, "B 299 299 3"]:
    """Preprocess as the original graph: top left corners aligned, (x - 128) / 128. The papers use this."""
    return _resize(_to_rgb((images.astype(jnp.float32) - 128) / 128))


def _mixed_35(x: Maps, name: str, pooled: int) -> Maps:
    return _join(
        _chain(x, name, ("branch1x1", 64)),
        _chain(x, name, ("branch5x5_1", 48), ("branch5x5_2", 64, (5, 5))),
        _chain(
            x,
            name,
            ("branch3x3dbl_1", 64),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3)),
        ),
        _chain(_average(x), name, ("branch_pool", pooled)),
    )


def _reduce_35(x: Maps, name: str) -> Maps:
    return _join(
        _chain(x, name, ("branch3x3", 384, (3, 3), 2, "VALID")),
        _chain(
            x,
            name,
            ("branch3x3dbl_1", 64),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
        ),
        _halve(x),
    )


def _mixed_17(x: Maps, name: str, narrow: int) -> Maps:
    return _join(
        _chain(x, name, ("branch1x1", 192)),
        _chain(
            x,
            name,
            ("branch7x7_1", narrow),
            ("branch7x7_2", narrow, (1, 7)),
            ("branch7x7_3", 192, (7, 1)),
        ),
        _chain(
            x,
            name,
            ("branch7x7dbl_1", narrow),
            ("branch7x7dbl_2", narrow, (7, 1)),
            ("branch7x7dbl_3", narrow, (1, 7)),
            ("branch7x7dbl_4", narrow, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        ),
        _chain(_average(x), name, ("branch_pool", 192)),
    )


def _reduce_17(x: Maps, name: str) -> Maps:
    return _join(
        _chain(x, name, ("branch3x3_1", 192), ("branch3x3_2", 320, (3, 3), 2, "VALID")),
        _chain(
            x,
            name,
            ("branch7x7x3_1", 192),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, (3, 3), 2, "VALID"),
        ),
        _halve(x),
    )


def _mixed_8(x: Maps, name: str, pool) -> Maps:
    wide = _chain(x, name, ("branch3x3_1", 384))
    double = _chain(x, name, ("branch3x3dbl_1", 448), ("branch3x3dbl_2", 384, (3, 3)))
    return _join(
        _chain(x, name, ("branch1x1", 320)),
        _chain(wide, name, ("branch3x3_2a", 384, (1, 3))),
        _chain(wide, name, ("branch3x3_2b", 384, (3, 1))),
        _chain(double, name, ("branch3x3dbl_3a", 384, (1, 3))),
        _chain(double, name, ("branch3x3dbl_3b", 384, (3, 1))),
        _chain(pool(x), name, ("branch_pool", 192)),
    )


def _chain(x: Maps, name: str, *units: Unit) -> Maps:
    for suffix, features, *shape in units:
        kernel, stride, padding = (*shape, *POINTWISE[len(shape) :])
        # Full float32: a GPU's default, TF32, changes features by more than the test allows.
        conv = nn.Conv(features, kernel, stride, padding, precision="highest", name=name + suffix)
        x = nn.relu(conv(x))
    return x


def _join(*branches: Maps) -> Maps:
    return jnp.concatenate(branches, axis=-1)


def _halve(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


_average = partial(nn.avg_pool, window_shape=(3, 3), padding="SAME", count_include_pad=False)
_maximum = partial(nn.max_pool, window_shape=(3, 3), padding="SAME")


def _to_rgb(images: Float[Array, "B H W C"]) -> Float[Array, "B H W 3"]:
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images have {images.shape[-1]} channels, wanted 1 or 3")
    return jnp.broadcast_to(images, (*images.shape[:-1], 3))


def _resize(images: Float[Array, "B H W 3"]) -> Float[Array, "B 299 299 3"]:
    """Interpolate between the two nearest rows and columns, even where the image shrinks."""
    rows, columns = _bilinear(images.shape[1]), _bilinear(images.shape[2])
    return jnp.einsum("yh,bhwc,xw->byxc", rows, images, columns, precision="highest")


def _bilinear(size: int) -> Float[np.ndarray, "299 size"]:
    at = np.arange(SIDE) * size / SIDE
    low = np.floor(at).astype(int)
    part = at - low
    weights = np.zeros((SIDE, size), np.float32)
    np.add.at(weights, (np.arange(SIDE), low), 1 - part)
    np.add.at(weights, (np.arange(SIDE), np.minimum(low + 1, size - 1)), part)
    return weights
