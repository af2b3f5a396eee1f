"""A labelled set of images, read by index, and the functions from one such set to another."""

import concurrent.futures
import hashlib
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32
from PIL import Image, ImageOps

from ddpm_jax.types import Pixels

CHUNK = 64
"""Images that a thread decodes in a row: decoding a small one costs less than handing it to a thread."""


class Source(NamedTuple):
    """`read(i)` gives image i, uint8 [h, w, c] with c = 1 or 3; sizes may differ between images."""

    read: Callable[[int], np.ndarray]
    labels: np.ndarray
    """int32 [N], indices into `class_names`."""
    class_names: tuple[str, ...]
    name: str
    images: np.ndarray | None = None
    """All images, uint8 [N, H, W, C], where they are decoded already: see `in_memory`."""


class Splits(NamedTuple):
    train: Source
    validation: Source
    test: Source


def from_arrays(
    images: Pixels, labels: Int32[np.ndarray, " N"], class_names: Sequence[str], name: str
) -> Source:
    """A source whose images are in memory."""
    return Source(images.__getitem__, labels, tuple(class_names), name, images)


def take(source: Source, indices: Int[np.ndarray, " M"] | Sequence[int]) -> Source:
    """The images at `indices`, in that order."""
    rows = np.asarray(indices, np.int64)
    labels = source.labels[rows]
    if source.images is not None:
        return from_arrays(source.images[rows], labels, source.class_names, source.name)
    return source._replace(read=lambda i: source.read(int(rows[i])), labels=labels)


def keep_classes(source: Source, classes: Sequence[str | int]) -> Source:
    """Only `classes`, by name or index, relabelled 0, 1, ... in the order given."""
    kept = [class_index(source, c) for c in classes]
    return _relabel(source, [source.class_names[c] for c in kept], [[c] for c in kept])


def group_classes(source: Source, groups: Mapping[str, Sequence[str | int]]) -> Source:
    """One new class for each group of old ones, as breeds become cats and dogs; drops the rest."""
    members = [[class_index(source, c) for c in group] for group in groups.values()]
    return _relabel(source, list(groups), members)


def _relabel(source: Source, names: Sequence[str], members: Sequence[Sequence[int]]) -> Source:
    if not names:
        raise ValueError(f"no class of {source.name} is kept; name at least one")
    new_label = np.full(len(source.class_names), -1, np.int32)
    for new, group in enumerate(members):
        for old in group:
            if new_label[old] >= 0:
                raise ValueError(f"class {source.class_names[old]!r} is named twice")
            new_label[old] = new
    labels = new_label[source.labels]
    for new, name in enumerate(names):
        if not np.any(labels == new):
            raise ValueError(f"class {name!r} of {source.name} has no image")
    relabelled = source._replace(labels=labels, class_names=tuple(names))
    return take(relabelled, np.flatnonzero(labels >= 0))


def class_index(source: Source, which: str | int) -> int:
    """The index of a class given by name or index; an unknown one raises, listing the known."""
    names = source.class_names
    if isinstance(which, str) and which in names:
        return names.index(which)
    if not isinstance(which, str) and 0 <= which < len(names):
        return which
    raise ValueError(
        f"unknown class {which!r} of {source.name}; known: "
        + ", ".join(f"{i} {name!r}" for i, name in enumerate(names))
    )


REFERENCES = {
    "test": ("test",),
    "validation": ("validation",),
    "train": ("train",),
    "train+validation": ("train", "validation"),
}
"""The splits that the reference images come from, by `evaluation.reference`."""


def class_counts(source: Source) -> Int[np.ndarray, " K"]:
    """How many images each class has."""
    return np.bincount(source.labels, minlength=len(source.class_names))


def join(first: Source, second: Source) -> Source:
    """The images of both, those of `first` first; they have the same classes."""
    size = len(first.labels)

    def read(i: int) -> np.ndarray:
        return first.read(i) if i < size else second.read(i - size)

    labels = np.concatenate([first.labels, second.labels])
    return Source(read, labels, first.class_names, first.name)


def resize(source: Source, size: int, channels: int) -> Source:
    """The largest centered square of each image, resampled without aliasing; channels: gray 1, RGB 3."""
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; 1 (gray) and 3 (RGB) are possible")
    if size < 1:
        raise ValueError(f"size is {size}; it must be at least 1 pixel")
    mode = "L" if channels == 1 else "RGB"

    def read(i: int) -> np.ndarray:
        pixels = source.read(i)
        if pixels.shape == (size, size, channels):
            return pixels
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert(mode)
        # Pillow widens its filters when it shrinks, so bicubic does not alias here.
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(size, size, channels)

    if source.images is not None and source.images.shape[1:] == (size, size, channels):
        return source
    return source._replace(read=read, images=None)


def decode(source: Source) -> Pixels:
    """Decode all images at once."""
    if source.images is not None:
        return source.images
    if not len(source.labels):
        raise ValueError(f"{source.name} has no image")
    first = source.read(0)
    images = np.empty((len(source.labels), *first.shape), np.uint8)

    def fill(start: int) -> None:
        for i in range(start, min(start + CHUNK, len(images))):
            pixels = source.read(i)
            if pixels.shape != first.shape:
                raise ValueError(
                    f"image {i} of {source.name} is {pixels.shape}, "
                    f"image 0 is {first.shape}: resize first"
                )
            images[i] = pixels

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, len(images), CHUNK)))
    return images


def in_memory(source: Source) -> Source:
    """The same source, decoded into memory."""
    return from_arrays(decode(source), source.labels, source.class_names, source.name)


def fits(source: Source, num_bytes: int) -> bool:
    """Whether all images, decoded, take at most `num_bytes`, judged by the first one's shape."""
    return len(source.labels) * math.prod(_shape(source)) <= num_bytes


def fingerprint(source: Source) -> str:
    """SHA-256 of class names, labels and pixels; it does not depend on what is in memory.

    Above 1 GiB of pixels, only 4,096 evenly spaced images are read.
    """
    n = len(source.labels)
    indices = range(n) if fits(source, 2**30) else np.linspace(0, n - 1, 4096).astype(int)
    digest = hashlib.sha256(repr((source.class_names, n)).encode())
    digest.update(source.labels.astype("<i4").tobytes())
    for i in indices:
        pixels = source.read(int(i))
        digest.update(repr(pixels.shape).encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()


def without_folders(name: str) -> str:
    """A `data.source` as strangers may read it: of a path the last part alone."""
    kind, _, where = name.partition(":")
    is_path = kind in ("folder", "npz") or (kind == "hf" and pathlib.Path(where).exists())
    return f"{kind}:{pathlib.Path(where).name}" if is_path else name


def _shape(source: Source) -> tuple[int, ...]:
    return source.read(0).shape if len(source.labels) else (0,)
