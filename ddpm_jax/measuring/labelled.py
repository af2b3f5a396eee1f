"""Labelled images in memory, and the test results of classifiers trained on them."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from ddpm_jax import rundir
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import worth
from ddpm_jax.types import Pixels, Trainer


class Labelled(NamedTuple):
    """Images and the class of each; unlike `types.Images`, in the form that files hold."""

    image: Pixels
    label: Int32[np.ndarray, " N"] | Float32[np.ndarray, "N K"]
    """Classes or, where labels are soft, probabilities of classes."""


def decode(split: source.Source) -> Labelled:
    return Labelled(source.decode(split), split.labels)


def join(first: Labelled, second: Labelled) -> Labelled:
    return Labelled(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def take(images: Labelled, rows: Int[np.ndarray, " M"]) -> Labelled:
    return Labelled(images.image[rows], images.label[rows])


def mixed(first: Labelled, second: Labelled, share: float) -> tuple[Labelled, int]:
    """Both, with images of one repeated so that `share` of all are of `second`, within rounding.

    Also returns how many of all, those at the front, are of `first`.

    Every image is there at least once, and of each class so many are repeated as its own share of the part.
    0: none is repeated. Raises ValueError as `check_share` does.
    """
    check_share(share)
    num, more = len(first.label), len(second.label)
    if share:
        num, more = (
            max(num, round(more * (1 - share) / share)),
            max(more, round(num * share / (1 - share))),
        )
    return join(_repeated(first, num), _repeated(second, more)), num


def check_share(share: float) -> None:
    """Raises ValueError if `share` is not in [0, 1)."""
    if not 0 <= share < 1:
        raise ValueError(
            f"classifier.synthetic_share is {share}; it must be at least 0 and below 1"
        )


def _repeated(images: Labelled, num: int) -> Labelled:
    """`num` images, evenly spaced among those that there are, class by class."""
    there = len(images.label)
    if num == there:
        return images
    label = images.label if images.label.ndim == 1 else images.label.argmax(axis=1)
    by_class = np.argsort(label, kind="stable")
    return take(images, np.sort(by_class[np.arange(num) * there // num]))


def first(images: Labelled, num: int) -> Labelled:
    return Labelled(images.image[:num], images.label[:num])


def read_synthetic(
    path: pathlib.Path, class_names: tuple[str, ...], image_shape: tuple[int, ...]
) -> Labelled:
    """Matches labels to the real classes by name; a set may hold only some of them.

    Raises `rundir.Inapplicable` if the set has no labels.
    """
    require_labels(path)
    made = npz.load(path)
    images = source.decode(made)
    if images.shape[1:] != image_shape:
        raise ValueError(
            f"{path} holds images of {sizes(images.shape[1:])}, wanted {sizes(image_shape)} as the "
            "real ones have"
        )
    unknown = [name for name in made.class_names if name not in class_names]
    if unknown:
        raise ValueError(
            f"{path} holds classes {', '.join(unknown)}, which the real images do not have; "
            f"they have {', '.join(class_names)}"
        )
    where = np.array([class_names.index(name) for name in made.class_names], np.int32)
    return Labelled(images, where[made.labels])


def sizes(shape: tuple[int, ...]) -> str:
    height, width, channels = shape
    return f"{height}x{width} pixels and {channels} channel{'s' * (channels > 1)}"


def require_labels(path: pathlib.Path) -> None:
    """Raises `rundir.Inapplicable` if the set at `path` has no labels."""
    if not npz.has_labels(path):
        raise rundir.Inapplicable(
            f"{path} has no labels (an unconditional model makes none); a classifier cannot be trained "
            "on it"
        )


def measure(
    trainer: Trainer,
    images: Labelled,
    test: Labelled,
    seeds: Sequence[int],
    num_classes: int,
    *,
    augmented: bool | Bool[np.ndarray, " N"] = False,
) -> list[dict[str, Any]]:
    """Train on `images`, all or those that `augmented` says augmented.

    Returns one outcome per seed, on every test image once.
    """
    params = trainer.fit(images.image, images.label, seeds, augmented=augmented)
    return [
        {
            "confusion": worth.confusion(
                test.label, probabilities.argmax(axis=1).astype(np.int32), num_classes
            ).tolist(),
            "calibration_error": worth.calibration_error(probabilities, test.label),
        }
        for probabilities in trainer.predict(params, test.image)
    ]
