"""What an ensemble, trained on real images alone, says of labelled images: which to keep, and soft labels."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32

from ddpm_jax.measuring import labelled
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.types import Trainer

FIRST_SEED = 1_000_000
"""Of the ensemble's members: no classifier that is measured has their initial weights or order."""


class Judged(NamedTuple):
    """The ensemble's class probabilities."""

    real: Float[np.ndarray, "N K"]
    """Of each real image, by the one member that was not trained on it."""
    made: Float[np.ndarray, "S M K"] | None
    """Of each synthetic image, by every member."""


def judge(
    trainer: Trainer, real: Labelled, made: Labelled | None, num: int, num_classes: int
) -> Judged:
    """Train `num` members, with augmentation, each on the real images without its own part of them.

    The parts have the same share of each class. Raises ValueError if `num` is below 2, or if a member
    would have no image of some class.
    """
    part = parts(real.label, num)
    of_real = np.empty((len(part), num_classes), np.float32)
    of_made = []
    for member in range(num):
        out = part == member
        left = labelled.take(real, np.flatnonzero(~out))
        params = trainer.fit(left.image, left.label, [FIRST_SEED + member], augmented=True)
        if out.any():
            of_real[out] = trainer.predict(params, real.image[out])[0]
        if made:
            of_made.append(trainer.predict(params, made.image)[0])
    return Judged(of_real, np.stack(of_made) if made else None)


def parts(labels: Int32[np.ndarray, " N"], num: int) -> Int32[np.ndarray, " N"]:
    """The part, 0 to num - 1, that each image is in; the images of a class take turns."""
    classes, counts = np.unique(labels, return_counts=True)
    if num < 2:
        raise ValueError(f"classifier.ensemble.num is {num}; it must be at least 2")
    if counts.min() < 2:
        raise ValueError(
            f"class {classes[counts.argmin()]} has {counts.min()} real image; an ensemble, whose members "
            "each leave out a part of them, needs at least 2 of each class"
        )
    part = np.empty(len(labels), np.int32)
    for label, count in zip(classes, counts, strict=True):
        part[labels == label] = np.arange(count) % num
    return part


def agreed(
    probabilities: Float[np.ndarray, "S N K"], labels: Int32[np.ndarray, " N"], threshold: float
) -> Bool[np.ndarray, " N"]:
    """Whether the mean probability of an image's own label is at least `threshold`."""
    return soft(probabilities)[np.arange(len(labels)), labels] >= threshold


def soft(probabilities: Float[np.ndarray, "S N K"]) -> Float[np.ndarray, "N K"]:
    """The ensemble's mean."""
    return probabilities.mean(axis=0)


def corrected(
    probabilities: Float[np.ndarray, "N K"], labels: Int32[np.ndarray, " N"]
) -> Float[np.ndarray, "N K"]:
    """The mean of the probabilities and of the label that is known to be true (Hinton et al. 2015)."""
    known = np.eye(probabilities.shape[1], dtype=np.float32)[labels]
    return (probabilities + known) / 2
