"""Training sets of real and synthetic images, so many of each class, for --mode=worth."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax.assembly import labelled

ALL = -1


class Point(NamedTuple):
    """A training set: so many images of each class. `ALL` is whatever there are."""

    real: int
    synthetic: int
    multiple: int
    """Synthetic images for each real one; 0 without the one or the other."""

    @property
    def arm(self) -> str:
        names = {"real": self.real, "synthetic": self.synthetic}
        return "+".join(name for name, number in names.items() if number)


def per_class(images: labelled.Images, num_classes: int) -> int:
    """As many as the smallest class has."""
    return int(np.bincount(images.label, minlength=num_classes).min())


def build_points(config: ConfigDict, num_real: int, num_synthetic: int) -> Iterator[Point]:
    """Sizes there are not images enough for fall away; all real images are always the last size.

    Raises ValueError where fewer than two real sizes are left, or a class has no images.
    """
    if not (num_real and num_synthetic):
        raise ValueError(
            f"the smallest class has {num_real} real and {num_synthetic} synthetic images; every class "
            "needs some of both"
        )
    sizes = sorted(size for size in config.sizes if size < num_real)
    if not sizes:
        raise ValueError(
            f"worth.sizes is {tuple(config.sizes)}, and the smallest class has {num_real} real images; "
            "name a smaller size"
        )
    for size in (*sizes, ALL):
        yield Point(size, 0, 0)
    for size in sorted(size for size in config.sizes if size < num_synthetic):
        yield Point(0, size, 0)
    yield Point(0, ALL, 0)
    for size, multiple in itertools.product((*sizes, ALL), sorted(config.multiples)):
        more = multiple * (num_real if size == ALL else size)
        if more <= num_synthetic:
            yield Point(size, more, multiple)


def training_set(
    point: Point, real: labelled.Images, made: labelled.Images, seed: int
) -> labelled.Images:
    parts = [
        subset(images, number, seed)
        for images, number in ((real, point.real), (made, point.synthetic))
        if number
    ]
    return parts[0] if len(parts) == 1 else labelled.join(*parts)


def subset(images: labelled.Images, number: int, seed: int) -> labelled.Images:
    """`number` images of each class, the first ones in the seed's order."""
    if number == ALL:
        return images
    order = np.random.default_rng(seed).permutation(len(images.label))
    classes = [order[images.label[order] == c][:number] for c in np.unique(images.label)]
    rows = np.sort(np.concatenate(classes))
    return labelled.Images(images.image[rows], images.label[rows])
