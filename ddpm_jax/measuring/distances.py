"""How far synthetic images are from real ones, each number beside its floor."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from ddpm_jax.data import division, source
from ddpm_jax.evaluation import features
from ddpm_jax.evaluation.features import Network
from ddpm_jax.measuring import metrics
from ddpm_jax.measuring.metrics import Features
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels


class Comparison(NamedTuple):
    """Which real images the synthetic ones are compared with, and which ones give the floor."""

    reference: str
    """A key of `source.REFERENCES`."""
    floor_split: str
    floor_rows: Int[np.ndarray, " M"]


class Sets(NamedTuple):
    """Images or features: synthetic ones and real ones."""

    synthetic: np.ndarray
    train: np.ndarray
    test: np.ndarray
    floor: np.ndarray
    """Real ones, as many as synthetic ones if there are enough, and disjoint from the reference."""
    reference: np.ndarray


def comparison_with(reference: str, splits: source.Splits, num: int, seed: int) -> Comparison:
    """Compares `num` synthetic images with the split or splits that `reference` names.

    The floor comes from the training split or, if that is in the reference, from the test split. It has fewer
    images than `num` if there are no more.
    """
    split = floor_split(reference)
    real = getattr(splits, split)
    rows = division.stratified_rows(real, min(num, len(real.labels)), seed)
    return Comparison(reference, split, rows)


def floor_split(reference: str) -> str:
    """The split whose images give the floor."""
    return "test" if "train" in source.REFERENCES[reference] else "train"


def extracted(reference: str) -> tuple[str, ...]:
    """The splits of which all images are needed."""
    return tuple(dict.fromkeys(("train", "test", *source.REFERENCES[reference])))


def num_synthetic(reference: str, sizes: Mapping[str, int]) -> int:
    """How many synthetic images to compare by default: as many as reference images, so that biases are equal.

    `sizes`: images of each split. A small training set gives the floor no more images than it has, and the
    floor says nothing of a value of more: then as many as the floor has. Papers' protocols, whose reference
    has the training images, keep their number.
    """
    num = sum(sizes[split] for split in source.REFERENCES[reference])
    split = floor_split(reference)
    return num if split == "test" else min(num, sizes[split])


def sets_of(parts: Mapping[str, np.ndarray], comparison: Comparison) -> Sets:
    """`parts` holds images or features for "synthetic", "train", "test" and the reference's splits."""
    reference = [parts[split] for split in source.REFERENCES[comparison.reference]]
    return Sets(
        parts["synthetic"],
        parts["train"],
        parts["test"],
        parts[comparison.floor_split][comparison.floor_rows],
        reference[0] if len(reference) == 1 else np.concatenate(reference),
    )


def measure(
    network: Network, images: Sets, seen: Sets, folder: pathlib.Path, reference: str = "test"
) -> dict[str, Any]:
    """Every metric by its field; `reference` names what the images are compared with."""
    inputs = metrics.Inputs(
        seen.synthetic,
        seen.floor,
        seen.reference,
        features.reference_moments(
            lambda: seen.reference,
            images.reference,
            folder=folder,
            network_digest=network.digest,
            write=devices.is_writer(),
        ),
        network.probabilities
        and {
            name: network.probabilities(getattr(images, name), getattr(seen, name))
            for name in ("synthetic", "reference")
        },
    )
    fields: dict[str, Any] = {}
    for metric in metrics.METRICS:
        name = metrics.field_name(metric, network, reference)
        if name not in fields and (found := metric.compute(inputs)) is not None:
            fields[name] = found
    return fields


def extract(
    network: Network,
    images: Pixels,
    folder: pathlib.Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Features:
    """`features.extract` with this network; cached in `folder` by content, so that it resumes."""
    return features.extract(
        network.features,
        images,
        batch_size=network.batch_size,
        folder=folder,
        network_digest=network.digest,
        write=devices.is_writer(),
        progress=progress,
    )
