"""Parts of a source: divided, or drawn at random. Every part has each class's share of the images."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from ddpm_jax.data.source import Source, class_counts, take


def permutation(n: int, seed: int | np.random.SeedSequence) -> Int[np.ndarray, " N"]:
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


def stratified_rows(source: Source, num: int, seed: int) -> Int[np.ndarray, " M"]:
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


def in_turn(source: Source, num: int, seed: int) -> Source:
    """At most `num` images at random, the classes taking turns: examples for a person to look at."""
    shuffled, rank = _ranks_in_class(source, seed)
    return take(source, shuffled[np.lexsort((source.labels[shuffled], rank))][:num])


def _ranks_in_class(
    source: Source, seed: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """A random order of the images, and for each of them how many of its class come before it."""
    # A stream of its own: those of `split` and of the epochs have other spawn keys.
    shuffled = permutation(len(source.labels), np.random.SeedSequence(seed, spawn_key=(0, 0)))
    labels = source.labels[shuffled]
    rank = np.empty(len(shuffled), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return shuffled, rank
