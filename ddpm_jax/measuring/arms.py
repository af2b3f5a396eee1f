"""The arms of a study: from a name to what classifiers are trained on.

A name is the parts of the training set and, in this order, any of three suffixes:
"real+synthetic, selected, soft, augmented". Selected: only the synthetic images whose labels an ensemble
agrees with. Soft: labels are probabilities of classes. Augmented: each batch is augmented in the training;
"real augmented" in its place: the real images of each batch are.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from ddpm_jax.measuring import labelled, selection
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.measuring.selection import Judged
from ddpm_jax.types import Pixels

PARTS = ("real", "synthetic", "real+synthetic", "real+duplicated", "real+augmented")
SUFFIXES = ("selected", "soft", "augmented", "real augmented")


class Arm(NamedTuple):
    parts: str
    """One of `PARTS`."""
    selected: bool = False
    soft: bool = False
    augmented: bool = False
    real_augmented: bool = False
    """Only the real images are augmented."""

    @property
    def needs_judging(self) -> bool:
        return self.selected or self.soft

    @property
    def has_synthetic(self) -> bool:
        return "synthetic" in self.parts


class TrainingSet(NamedTuple):
    """`images` may repeat some, for the share of added ones that was asked for."""

    images: Labelled
    augmented: bool | Bool[np.ndarray, " N"]
    """Whether the images are augmented in the training, or which of them."""
    num_real: int
    num_added: int
    """Synthetic images that were kept, or duplicates or copies."""


def parse(name: str) -> Arm:
    """Raises ValueError if `name` is no arm."""
    parts, *suffixes = name.split(", ")
    wanted = [suffix for suffix in SUFFIXES if suffix in suffixes]
    if parts not in PARTS or suffixes != wanted:
        raise ValueError(
            f"{name!r} is no arm; known: {', '.join(PARTS)}, each with any of ', "
            + "', ', ".join(SUFFIXES)
            + "' after it, in this order"
        )
    arm = Arm(parts, **{suffix.replace(" ", "_"): suffix in suffixes for suffix in SUFFIXES})
    if arm.selected and not arm.has_synthetic:
        raise ValueError(f"{name!r} is no arm: only synthetic images are selected")
    if arm.real_augmented and (arm.augmented or arm.parts != "real+synthetic"):
        raise ValueError(f"{name!r} is no arm: ', real augmented' goes with real+synthetic alone")
    return arm


def build(
    name: str,
    real: Labelled,
    made: Labelled | None,
    *,
    seed: int,
    copies: Callable[[Pixels, int], Pixels],
    num_copies: int = 0,
    share: float = 0.0,
    threshold: float = 0.0,
    judged: Judged | None = None,
) -> TrainingSet:
    """What the arm is trained on.

    The soft label of a synthetic image is the ensemble's mean. That of a real image is the mean of its true
    label and of the probabilities by the one member that was not trained on it.

    copies: `copies(images, seed)` makes those of real+augmented. num_copies: duplicates or copies of each
    real image; 0: as many in all as synthetic images. share: see `labelled.mixed`. threshold: see
    `selection.agreed`. judged: needed by an arm that `needs_judging`.
    """
    arm = parse(name)
    if arm.needs_judging and not judged:
        raise ValueError(f"arm {name!r} needs an ensemble's probabilities")
    first = real
    if arm.soft and judged:
        first = Labelled(real.image, selection.corrected(judged.real, real.label))
    if arm.parts == "real":
        return TrainingSet(first, arm.augmented, len(real.label), 0)
    if arm.has_synthetic:
        if made is None:
            raise ValueError(f"arm {name!r} needs synthetic images")
        added = synthetic(arm, name, made, judged, threshold)
    else:
        num = num_copies * len(real.label) or len((made or real).label)
        order = np.random.default_rng(seed).permutation(len(real.label))
        added = labelled.take(first, np.resize(order, num))
        if arm.parts == "real+augmented":
            added = added._replace(image=copies(added.image, seed))
    if arm.parts == "synthetic":
        return TrainingSet(added, arm.augmented, 0, len(added.label))
    mixed, num_first = labelled.mixed(first, added, share)
    augmented = np.arange(len(mixed.label)) < num_first if arm.real_augmented else arm.augmented
    return TrainingSet(mixed, augmented, len(real.label), len(added.label))


def synthetic(
    arm: Arm, name: str, made: Labelled, judged: Judged | None, threshold: float
) -> Labelled:
    """The synthetic images of an arm; raises ValueError if none is kept."""
    if not (judged and judged.made is not None and arm.needs_judging):
        return made
    label = selection.soft(judged.made) if arm.soft else made.label
    found = Labelled(made.image, label)
    if not arm.selected:
        return found
    kept = selection.agreed(judged.made, made.label, threshold)
    if not kept.any():
        raise ValueError(
            f"arm {name!r} keeps no synthetic image: an ensemble trained on the real ones gives no label a "
            f"probability of {threshold} or more; lower classifier.select"
        )
    return labelled.take(found, np.flatnonzero(kept))
