"""Labelled images in one `.npz`: writes synthetic sets, and reads anyone's."""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer

from ddpm_jax import zipped_arrays
from ddpm_jax.data import source
from ddpm_jax.data.source import Source
from ddpm_jax.types import Pixels
from ddpm_jax.whole_file import replacing

MAX_TEXT_BYTES = 2**24
MAX_BYTES = 2**33
"""Of one array: more are neither written nor read."""


def save(
    path: str | os.PathLike,
    images: Pixels,
    labels: Int32[np.ndarray, " N"] | None,
    class_names: Sequence[str],
    meta: Mapping[str, Any],
    *,
    arr_keys: bool = False,
) -> None:
    """Keys image, label, class_names, meta (JSON text); the file appears whole or not at all.

    An unlabelled set (`labels` None) has neither label nor class_names.
    `arr_keys` writes images and labels as `arr_0` and `arr_1`, as OpenAI's evaluator wants them.
    The same arguments give the same bytes. Raises ValueError as `check_size` does.
    """
    check_size(images.shape)
    image_key, label_key = ("arr_0", "arr_1") if arr_keys else ("image", "label")
    arrays: dict[str, np.ndarray] = {image_key: images}
    if labels is not None:
        arrays |= {label_key: labels, "class_names": np.array(class_names, np.str_)}
    arrays["meta"] = np.array(json.dumps(meta, sort_keys=True, allow_nan=False))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def check_size(shape: tuple[int, ...]) -> None:
    """Raises ValueError if uint8 images [N, H, W, C] of this shape are too many for one file."""
    if math.prod(shape) > MAX_BYTES:
        most = MAX_BYTES // math.prod(shape[1:])
        raise ValueError(
            f"{shape[0]:,} images of {shape[1]}x{shape[2]} pixels are {math.prod(shape):,} bytes; one file "
            f"holds at most {MAX_BYTES:,}: {most:,} images"
        )


def load(path: str | os.PathLike, *, max_bytes: int = MAX_BYTES) -> Source:
    """Keys `image` and `label`, or `arr_0` and `arr_1`; `class_names` if it is there.

    A file without labels (see `has_labels`) is read as one class. The file may come from anyone: no
    pickle is run, no array above `max_bytes` is made, and anything wrong raises ValueError.
    """
    keys = zipped_arrays.keys(path)
    image_key, label_key = ("image", "label") if "image" in keys else ("arr_0", "arr_1")
    # A set without labels holds nothing else: a key "labels" is a typo, not an unlabelled set.
    unlabelled = label_key not in keys and not set(keys) - {image_key, "class_names", "meta"}
    if image_key not in keys or not (label_key in keys or unlabelled):
        raise ValueError(
            f"{path} has {', '.join(keys)}; wanted image and label, or arr_0 and arr_1"
        )
    images = zipped_arrays.read(path, image_key, np.uint8, 4, max_bytes)
    labels, names = np.zeros(len(images), np.int32), None
    if not unlabelled:
        labels = zipped_arrays.read(path, label_key, np.integer, 1, max_bytes)
    if not unlabelled and "class_names" in keys:
        names = zipped_arrays.read(path, "class_names", np.str_, 1, MAX_TEXT_BYTES)
    try:
        _check_images(images)
        class_names = _check_labels(labels, len(images), names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return source.from_arrays(images, labels.astype(np.int32), class_names, pathlib.Path(path).stem)


def has_labels(path: str | os.PathLike) -> bool:
    """Whether the file says which class each image is of."""
    return not {"label", "arr_1"}.isdisjoint(zipped_arrays.keys(path))


def has_meta(path: str | os.PathLike) -> bool:
    """Whether the file says where its images come from."""
    return "meta" in zipped_arrays.keys(path)


def load_meta(path: str | os.PathLike) -> dict[str, Any]:
    """The `meta` given to `save`: where the images come from."""
    if not has_meta(path):
        raise ValueError(f"{path} has no meta; it was not written by this program")
    text = zipped_arrays.read(path, "meta", np.str_, 0, MAX_TEXT_BYTES).item()
    try:
        meta = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: meta is not JSON: {error}") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{path}: meta is a JSON {type(meta).__name__}; wanted an object")
    return meta


def _check_images(images: np.ndarray) -> None:
    if images.size == 0 or images.shape[3] not in (1, 3):
        raise ValueError(
            f"images have shape {images.shape}; wanted (N, H, W, C), none 0, and C = 1 or 3"
        )


def _check_labels(
    labels: Integer[np.ndarray, " N"], num_images: int, names: np.ndarray | None
) -> list[str]:
    if len(labels) != num_images:
        raise ValueError(f"{len(labels)} labels for {num_images} images")
    if names is None:
        present = np.unique(labels)
        # Without names the labels say how many classes there are, so a gap is a class without
        # images, and one stray label could make a billion classes.
        if not np.array_equal(present, np.arange(len(present))):
            raise ValueError(
                f"labels run from {present[0]} to {present[-1]} in {len(present)} values; "
                "wanted 0 to K-1 with no gap, or class_names"
            )
        return [str(i) for i in present]
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}; "
            f"wanted 0 to {len(names) - 1}, for {len(names)} class_names"
        )
    class_names = [str(name) for name in names]
    for name in class_names:
        if not name or not name.isprintable():
            raise ValueError(f"class name {name!r} cannot be printed")
    return class_names
