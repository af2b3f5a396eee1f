"""How far synthetic images are from real ones, each number beside its floor."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import source
from ddpm_jax.evaluation import features, frechet, inception_score, kernel, manifold
from ddpm_jax.measuring import feature_networks
from ddpm_jax.training import devices

Features = Float[np.ndarray, "N D"]


REFERENCES = {
    "test": ("test",),
    "validation": ("validation",),
    "train": ("train",),
    "train+validation": ("train", "validation"),
}
"""The splits that real images to compare with can come from, by `evaluation.reference`."""


class Comparison(NamedTuple):
    """Which real images the synthetic ones are compared with, and which ones give the floor."""

    reference: str
    """A key of `REFERENCES`."""
    floor_split: str
    floor_rows: Int[np.ndarray, "M"]


class Sets(NamedTuple):
    """Images or features: synthetic ones and real ones."""

    synthetic: np.ndarray
    train: np.ndarray
    test: np.ndarray
    floor: np.ndarray
    """Real, as many as synthetic ones where there are as many, and disjoint from the reference."""
    reference: np.ndarray


def build_comparison(config: ConfigDict, splits: source.Splits, num: int) -> Comparison:
    """`num` synthetic images with the split that the evaluation section names.

    The floor comes from the training split; where that is the reference, from the test split.
    """
    name = config.evaluation.reference
    floor_split = "test" if "train" in choose("evaluation.reference", name, REFERENCES) else "train"
    real = getattr(splits, floor_split)
    rows = source.stratified_rows(real, min(num, len(real.labels)), config.seed)
    return Comparison(name, floor_split, rows)


def sets_of(parts: Mapping[str, np.ndarray], comparison: Comparison) -> Sets:
    """`parts` has images or features under "synthetic", "train", "test" and the reference's splits."""
    reference = [parts[split] for split in REFERENCES[comparison.reference]]
    return Sets(
        parts["synthetic"],
        parts["train"],
        parts["test"],
        parts[comparison.floor_split][comparison.floor_rows],
        reference[0] if len(reference) == 1 else np.concatenate(reference),
    )


def measure(
    network: feature_networks.Network,
    images: Sets,
    seen: Sets,
    folder: pathlib.Path,
    name: str = "test",
) -> dict[str, Any]:
    """Under the names they deserve: those of the papers for the official Inception only.

    `name` is the reference's, which the distances' names carry.
    """
    suffix = "" if network.official else f"_{network.name}"
    reference = features.reference_moments(
        lambda: seen.reference,
        images.reference,
        folder=folder,
        network_digest=network.digest,
        write=devices.is_writer(),
    )
    value, floor = (
        kernel.distance(found, seen.reference) for found in (seen.synthetic, seen.floor)
    )
    fields = {
        network.distance_name(name): frechet_fields(seen, reference),
        network.kernel_name(name): {
            **value._asdict(),
            "floor": floor.value,
            "floor_low": floor.low,
            "floor_high": floor.high,
        },
    }
    if network.probabilities is not None:
        score, real = (
            inception_score.inception_score(
                network.probabilities(pixels, found), num_splits=min(10, len(pixels))
            )
            for pixels, found in (
                (images.synthetic, seen.synthetic),
                (images.reference, seen.reference),
            )
        )
        fields[f"inception_score{suffix}"] = {**score._asdict(), "of_reference": real.mean}
    return fields


def frechet_fields(seen: Sets, reference: frechet.Moments) -> dict[str, Any]:
    """At n, and at infinity where there are images enough: without the bias of n and of the reference."""
    fields: dict[str, Any] = {}
    needed = frechet.smallest_set(seen.reference.shape[1])
    for prefix, part in (("", "synthetic"), ("floor_", "floor")):
        found = getattr(seen, part)
        fields[prefix.rstrip("_") or "value"] = frechet.distance(frechet.moments(found), reference)
        counts = {of: len(getattr(seen, of)) for of in (part, "reference")}
        short = [f"{count} {of} images" for of, count in counts.items() if count < needed]
        if short:
            fields[f"{prefix}at_infinity"] = None
            why = f"extrapolating needs {needed} images of each set, got {' and '.join(short)}"
            fields[f"{prefix}why"] = why
            continue
        line = frechet.extrapolate(found, seen.reference)
        for name, values in line._asdict().items():
            fields[prefix + name] = values
    return fields


def manifold_fields(seen: Sets) -> dict[str, Any]:
    def fields(found: Features) -> dict[str, float]:
        return {
            **manifold.precision_recall(found, seen.reference)._asdict(),
            **manifold.density_coverage(found, seen.reference)._asdict(),
        }

    return fields(seen.synthetic) | {"floor": fields(seen.floor)}
