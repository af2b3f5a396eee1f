"""How far synthetic images are from real ones, each number beside its floor."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ddpm_jax.assembly import feature_networks
from ddpm_jax.evaluation import features, frechet, inception_score, kernel, manifold
from ddpm_jax.training import devices

Features = Float[np.ndarray, "N D"]


class Sets(NamedTuple):
    """Images or features: synthetic, real training, as many of these for the floor, real test."""

    synthetic: np.ndarray
    train: np.ndarray
    floor: np.ndarray
    test: np.ndarray


def measure(
    network: feature_networks.Network, images: Sets, seen: Sets, folder: pathlib.Path
) -> dict[str, Any]:
    """Under the names they deserve: those of the papers for the official Inception only."""
    suffix = "" if network.official else f"_{network.name}"
    reference = features.reference_moments(
        lambda: seen.test,
        images.test,
        folder=folder,
        network_digest=network.digest,
        write=devices.is_writer(),
    )
    value, floor = (kernel.distance(found, seen.test) for found in (seen.synthetic, seen.floor))
    fields = {
        network.distance_name: frechet_fields(seen, reference),
        "kid" if network.official else f"kernel{suffix}": {
            **value._asdict(),
            "floor": floor.value,
            "floor_standard_error": floor.standard_error,
        },
    }
    if network.probabilities is not None:
        score, real = (
            inception_score.inception_score(
                network.probabilities(pixels, found), num_splits=min(10, len(pixels))
            )
            for pixels, found in ((images.synthetic, seen.synthetic), (images.test, seen.test))
        )
        fields[f"inception_score{suffix}"] = {**score._asdict(), "of_reference": real.mean}
    return fields


def frechet_fields(seen: Sets, reference: frechet.Moments) -> dict[str, Any]:
    """At n, and at infinity where there are images enough to say: the bias of n is the difference."""
    fields: dict[str, Any] = {
        "value": frechet.distance(frechet.moments(seen.synthetic), reference),
        "floor": frechet.distance(frechet.moments(seen.floor), reference),
    }
    needed = 4 * seen.test.shape[1]  # below, the line bends
    if len(seen.synthetic) < needed:
        return fields | {"at_infinity": None, "why": f"extrapolating needs {needed} images"}
    for name, found in (("", seen.synthetic), ("floor_", seen.floor)):
        line = frechet.extrapolate(found, reference)
        fields[f"{name}at_infinity"] = line.at_infinity
        fields[f"{name}sizes"], fields[f"{name}distances"] = line.sizes, line.distances
    return fields


def manifold_fields(seen: Sets) -> dict[str, Any]:
    def fields(found: Features) -> dict[str, float]:
        return {
            **manifold.precision_recall(found, seen.test)._asdict(),
            **manifold.density_coverage(found, seen.test)._asdict(),
        }

    return fields(seen.synthetic) | {"floor": fields(seen.floor)}
