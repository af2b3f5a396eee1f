"""Training sets of real and synthetic images, a given number per class, for --mode=worth."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ddpm_jax.measuring import labelled
from ddpm_jax.types import Pixels

ALL = -1


class Point(NamedTuple):
    """A training set: the number of images per class. `ALL` means all there are."""

    real: int
    added: int
    multiple: int
    """Added images per real one; 0 if there are no real or no added images."""
    kind: str = "synthetic"
    """What is added: "synthetic", or as a control of equal size "duplicated" or "augmented" real images."""

    @property
    def arm(self) -> str:
        names = {"real": self.real, self.kind: self.added}
        return "+".join(name for name, number in names.items() if number)


def per_class(images: labelled.Labelled, num_classes: int) -> int:
    """The number of images of the smallest class."""
    return int(np.bincount(images.label, minlength=num_classes).min())


def points(
    num_real: int,
    num_synthetic: int,
    *,
    sizes: Sequence[int],
    multiples: Sequence[int],
    controls: Sequence[str] = (),
) -> Iterator[Point]:
    """num_real, num_synthetic: images of the smallest class.

    Drops sizes that there are too few images for; all real images are always the last size. Raises
    ValueError if fewer than two real sizes are left, a class has no images, or a control is not known.
    """
    unknown = set(controls) - {"duplicated", "augmented"}
    if unknown:
        raise ValueError(
            f"worth.controls is {tuple(controls)}, wanted some of 'duplicated', 'augmented'"
        )
    if not (num_real and num_synthetic):
        raise ValueError(
            f"the smallest class has {num_real} real and {num_synthetic} synthetic images; every class "
            "needs some of both"
        )
    real_sizes = sorted(size for size in sizes if size < num_real)
    if not real_sizes:
        raise ValueError(
            f"worth.sizes is {tuple(sizes)}, and the smallest class has {num_real} real images; "
            "name a smaller size"
        )
    for size in (*real_sizes, ALL):
        yield Point(size, 0, 0)
    for size in sorted(size for size in sizes if size < num_synthetic):
        yield Point(0, size, 0)
    yield Point(0, ALL, 0)
    for size, multiple in itertools.product((*real_sizes, ALL), sorted(multiples)):
        more = multiple * (num_real if size == ALL else size)
        if more <= num_synthetic:
            for kind in ("synthetic", *controls):
                yield Point(size, more, multiple, kind)


def order(point: Point) -> tuple[bool, float]:
    """A sort key: real images alone come first, by size; all other points keep their order."""
    if point.added:
        return True, 0.0
    return False, math.inf if point.real == ALL else point.real


def real_point(wanted: float, sizes: Mapping[int, int], num_real: int) -> Point | None:
    """Real images alone, near `wanted` in all classes together, and between two existing sizes.

    sizes: images per class -> images in all classes together. num_real: images of the smallest class.
    Returns None if no whole number of images per class lies between.
    """
    few = max(size for size in sizes if sizes[size] < wanted)
    many = min((size for size in sizes if size != ALL and sizes[size] > wanted), default=num_real)
    size = round(wanted * few / sizes[few])
    size = min(max(size, few + 1), many - 1)
    return Point(size, 0, 0) if few < size else None


def training_set(
    point: Point,
    real: labelled.Labelled,
    made: labelled.Labelled,
    seed: int,
    copies: Callable[[Pixels, int], Pixels],
) -> labelled.Labelled:
    """The images of `point`; `copies(images, seed)` makes the augmented ones."""
    if not point.real:
        return subset(made, point.added, seed)
    first = subset(real, point.real, seed)
    if not point.added:
        return first
    if point.kind == "synthetic":
        return labelled.join(first, subset(made, point.added, seed))
    again = repeated(first, point.added)
    if point.kind == "augmented":
        again = again._replace(image=copies(again.image, seed))
    return labelled.join(first, again)


def repeated(images: labelled.Labelled, number: int) -> labelled.Labelled:
    """`number` images of each class, which repeat its images over and over."""
    of_class = [np.flatnonzero(images.label == c) for c in np.unique(images.label)]
    rows = np.concatenate([np.resize(rows, number) for rows in of_class])
    return labelled.Labelled(images.image[rows], images.label[rows])


def subset(images: labelled.Labelled, number: int, seed: int) -> labelled.Labelled:
    """`number` images of each class, the first ones in the seed's order."""
    if number == ALL:
        return images
    order = np.random.default_rng(seed).permutation(len(images.label))
    classes = [order[images.label[order] == c][:number] for c in np.unique(images.label)]
    rows = np.sort(np.concatenate(classes))
    return labelled.Labelled(images.image[rows], images.label[rows])
