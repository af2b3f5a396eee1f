"""A labelled set of images, read by index, and the functions from one such set to another."""

import concurrent.futures
import hashlib
import math
import os
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
    images: Pixels, labels: Int32[np.ndarray, "N"], class_names: Sequence[str], name: str
) -> Source:
    """A source whose images are in memory."""
    return Source(images.__getitem__, labels, tuple(class_names), name, images)


def take(source: Source, indices: Int[np.ndarray, "M"] | Sequence[int]) -> Source:
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


def class_counts(source: Source) -> Int[np.ndarray, "K"]:
    """How many images each class has."""
    return np.bincount(source.labels, minlength=len(source.class_names))


def permutation(n: int, seed: int | np.random.SeedSequence) -> Int[np.ndarray, "N"]:
    """The same under every version of NumPy, unlike `Generator.permutation`.

    It sorts by the raw stream, which NumPy promises never to change: another order would move test
    images into training, and a run could not resume in its own.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def split(source: Source, fractions: Sequence[float], seed: int) -> tuple[Source, ...]:
    """Disjoint parts that together are the source, each with its share of every class."""
    if any(f <= 0 for f in fractions) or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise ValueError(f"fractions {tuple(fractions)} must be positive and sum to 1")
    n = len(source.labels)
    shuffled = permutation(n, seed)
    position = np.empty(n)
    for label in range(len(source.class_names)):
        members = shuffled[source.labels[shuffled] == label]
        # Spread each class evenly over [0, 1); cutting there takes the same share of every class.
        position[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    rank = np.empty(n, np.int64)
    rank[shuffled] = np.arange(n)
    spread = np.lexsort((rank, position))
    cuts = [round(n * c) for c in np.cumsum(fractions)[:-1]]
    parts = [np.sort(part) for part in np.split(spread, cuts)]
    if not all(len(part) for part in parts):
        raise ValueError(f"{n} images of {source.name} are too few to split as {tuple(fractions)}")
    return tuple(take(source, part) for part in parts)


def stratified_rows(source: Source, num: int, seed: int) -> Int[np.ndarray, "M"]:
    """Indices of `num` random images that represent all: each class has its share, within one image.

    Sources may be sorted by class, so their first rows are not representative. Raises ValueError if
    there are fewer than `num` images.
    """
    n, counts = len(source.labels), class_counts(source)
    if not 0 <= num <= n:
        raise ValueError(f"{num} images of {source.name} are wanted; it has {n}")
    quota, remainder = np.divmod(num * counts.astype(np.int64), max(n, 1))
    # What rounding down leaves goes to the largest remainders; ties are broken at random.
    chance = permutation(len(counts), np.random.SeedSequence(seed, spawn_key=(0, 1)))
    first = np.lexsort((chance, -remainder))[: num - quota.sum()]
    quota[first] += 1
    shuffled, rank = _ranks_in_class(source, seed)
    return shuffled[rank < quota[source.labels[shuffled]]]


def stratified(source: Source, num: int, seed: int) -> Source:
    """The images at `stratified_rows`."""
    return take(source, stratified_rows(source, num, seed))


def small_set(source: Source, per_class: int, seed: int) -> Source:
    """`per_class` random images of each class; a smaller set is part of a larger one of the same seed.

    Raises ValueError if a class has fewer images.
    """
    counts = class_counts(source)
    if counts.min() < per_class:
        name = source.class_names[int(counts.argmin())]
        raise ValueError(
            f"{per_class} images of each class are wanted for training and validation; class {name!r} "
            f"of {source.name} has {counts.min()}"
        )
    shuffled, rank = _ranks_in_class(source, seed)
    return take(source, np.sort(shuffled[rank < per_class]))


def hold_out(source: Source, fold: int, num_folds: int, seed: int) -> tuple[Source, Source]:
    """Training and validation images: fold `fold` of `num_folds` is held out, none if `fold` is -1.

    A fold has each class's share of the images, within one. Raises ValueError if the fold, or what it
    leaves, is empty.
    """
    if not (num_folds >= 2 and -1 <= fold < num_folds):
        raise ValueError(
            f"fold {fold} of {num_folds} folds is wanted; there must be at least 2, and the fold must be "
            "-1 (none) or below their number"
        )
    shuffled, rank = _ranks_in_class(source, seed)
    held_out = rank % num_folds == fold
    parts = take(source, np.sort(shuffled[~held_out])), take(source, np.sort(shuffled[held_out]))
    if not len(parts[0].labels) or not (fold < 0 or len(parts[1].labels)):
        raise ValueError(f"{len(rank)} images of {source.name} are too few for {num_folds} folds")
    return parts


def join(first: Source, second: Source) -> Source:
    """The images of both, those of `first` first; they have the same classes."""
    size = len(first.labels)

    def read(i: int) -> np.ndarray:
        return first.read(i) if i < size else second.read(i - size)

    labels = np.concatenate([first.labels, second.labels])
    return Source(read, labels, first.class_names, first.name)


def in_turn(source: Source, num: int, seed: int) -> Source:
    """At most `num` images at random, the classes taking turns: examples for a person to look at."""
    shuffled, rank = _ranks_in_class(source, seed)
    return take(source, shuffled[np.lexsort((source.labels[shuffled], rank))][:num])


def _ranks_in_class(source: Source, seed: int) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """A random order of the images, and for each of them how many of its class come before it."""
    # A stream of its own: those of `split` and of the epochs have other spawn keys.
    shuffled = permutation(len(source.labels), np.random.SeedSequence(seed, spawn_key=(0, 0)))
    labels = source.labels[shuffled]
    rank = np.empty(len(shuffled), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return shuffled, rank


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


def _shape(source: Source) -> tuple[int, ...]:
    return source.read(0).shape if len(source.labels) else (0,)
