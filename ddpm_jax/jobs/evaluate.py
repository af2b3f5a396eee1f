"""--mode=evaluate: how far the synthetic images are from real test images, and whether they copy.

Every distance is printed beside its floor: the same distance between real training images, as many of
them, and the same test images. Only the official Inception's is called FID.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from ddpm_jax import progress, rundir
from ddpm_jax.assembly import datasets, feature_networks, likelihoods, trained
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import (
    features,
    frechet,
    inception_score,
    kernel,
    manifold,
    memorization,
)
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures, plots

Features = Float[np.ndarray, "N D"]

CLOSEST_PAIRS = 12
FEWEST_TO_TEST_COPIES = 99  # so that one of them lies below the 1 % quantile
ALARM = 0.001  # p-value below which the page warns of copies


class Sets(NamedTuple):
    """Images or features: synthetic, real training, as many of these for the floor, real test."""

    synthetic: np.ndarray
    train: np.ndarray
    floor: np.ndarray
    test: np.ndarray


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    made = rundir.result(workdir, "export")
    section = config.evaluation.to_dict()
    del section["cache_dir"]
    inputs = {
        "images": made["image_sha256"],
        "data": rundir.model_inputs(config.to_dict(), sections=("data",)),
        "evaluation": section | {"weights_sha256": file_digest(section["inception_weights"])},
        "classifier": config.classifier.to_dict(),
        "checkpoint": made["checkpoint"] if section["likelihood_images"] else None,
    }
    return rundir.stage(
        workdir,
        "evaluate",
        inputs,
        lambda: evaluate(config, workdir),
        write=devices.is_writer(),
    )


def file_digest(path: str) -> str | None:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() if path else None


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    splits = datasets.build_splits(config.data, config.seed)
    train, test = (source.decode(split) for split in (splits.train, splits.test))
    made = npz.load(rundir.synthetic(workdir))
    samples = source.decode(source.take(made, range(chosen(config, made, test))))
    network = feature_networks.build_network(config, splits.train, test.shape[1:])
    folder = pathlib.Path(config.evaluation.cache_dir or workdir / "features")
    images = Sets(samples, train, train[: len(samples)], test)
    seen = extract_all(network, images, folder)
    figures = rundir.figures(workdir)
    fields = {
        "features": network.name,
        "features_sha256": network.digest,
        "features_about": network.about,
        "n": len(samples),
        "n_floor": len(images.floor),
        "n_train": len(train),
        "n_reference": len(test),
        "reference": f"test split of {splits.test.name}",
        "reference_sha256": features.digest(test),
        "image_sha256": features.digest(samples),
        **distances(network, images, seen, folder),
        "manifold": manifold_fields(seen),
        "memorization": memorized(images, seen, network.name, figures),
        "likelihood": likelihood_fields(config, workdir, splits.test),
        "seed": config.seed,
    }
    print(summary(fields, network.distance_name), flush=True)
    return fields


def chosen(config: ConfigDict, made: source.Source, test: Pixels) -> int:
    """How many synthetic images are compared: the bias of few images is then that of the floor."""
    wanted = config.evaluation.num_images or len(test)
    if wanted > len(made.labels):
        print(
            f"[evaluate] {wanted} synthetic images wanted, there are {len(made.labels)}: all of them"
        )
    return min(wanted, len(made.labels))


def extract_all(network: feature_networks.Network, images: Sets, folder: pathlib.Path) -> Sets:
    """Kept in `folder` by their content, so that an interrupted call does not begin again."""

    def extract(name: str, pixels: Pixels) -> Features:
        with progress.bar(
            f"{network.name} features of {name} images", len(pixels), "images"
        ) as show:
            return features.extract(
                network.features,
                pixels,
                batch_size=network.batch_size,
                folder=folder,
                network_digest=network.digest,
                progress=lambda done, total: show(done),
            )

    train = extract("training", images.train)
    synthetic = extract("synthetic", images.synthetic)
    return Sets(synthetic, train, train[: len(images.floor)], extract("test", images.test))


def distances(
    network: feature_networks.Network, images: Sets, seen: Sets, folder: pathlib.Path
) -> dict[str, Any]:
    """Under the names they deserve: those of the papers for the official Inception only."""
    suffix = "" if network.official else f"_{network.name}"
    reference = features.reference_moments(
        lambda: seen.test, images.test, folder=folder, network_digest=network.digest
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


def memorized(images: Sets, seen: Sets, name: str, figures: pathlib.Path) -> dict[str, Any]:
    """In pixels and in features: which samples are nearer to training images than test images are?"""
    if len(images.test) < FEWEST_TO_TEST_COPIES:
        why = f"{len(images.test)} test images, {FEWEST_TO_TEST_COPIES} needed"
        return {"copies": None, "why": why}
    flat = Sets(*(part.reshape(len(part), -1) / 255.0 for part in images))
    curves = {}
    fields: dict[str, Any] = {}
    for space, points in (("pixels", flat), (name, seen)):
        near = memorization.nearest(points.synthetic, points.train)
        real = memorization.nearest(points.test, points.train)
        fields[space] = copy_fields(near, real) | duplicates(points)
        curves[space] = {"synthetic": near.distance, "real test": real.distance}
        draw_pairs(figures, space, near, images)
    draw_nearest(figures / "nearest.png", curves)
    fields["copies"] = any(fields[space]["p_value"] < ALARM for space in ("pixels", name))
    return fields


def copy_fields(near: memorization.Nearest, real: memorization.Nearest) -> dict[str, Any]:
    found = memorization.copy_test(near.distance, real.distance)
    return {
        "share": found.share,
        "expected_share": found.expected_share,
        "threshold": found.threshold,
        "p_value": found.p_value,
        "exact": int(np.sum(near.distance == 0)),
        "median_distance": float(np.median(near.distance)),
        "median_distance_of_test": float(np.median(real.distance)),
    }


def duplicates(points: Sets) -> dict[str, Any]:
    """How near the samples come to each other, beside real training images, as many of them."""
    within, real = (memorization.nearest_within(p) for p in (points.synthetic, points.floor))
    near = np.quantile(real.distance, 0.01)
    return {
        "duplicates": int(np.sum(within.distance == 0)),
        "near_duplicates_share": float(np.mean(within.distance < near)),
        "near_duplicates_share_of_real": float(np.mean(real.distance < near)),
    }


def draw_pairs(figures: pathlib.Path, space: str, near: memorization.Nearest, images: Sets) -> None:
    ours, theirs = memorization.closest_pairs(near, CLOSEST_PAIRS)
    pair = np.stack([images.synthetic[ours], images.train[theirs]])
    labels = [f"{distance:.3g}" for distance in near.distance[ours]]
    title = f"The {len(ours)} closest pairs, by distance in {space}"
    picture = pictures.strip(
        pair, labels, row_labels=["synthetic", "nearest training image"], title=title
    )
    if devices.is_writer():
        pictures.save(
            figures / ("closest.png" if space == "pixels" else "closest-features.png"), picture
        )


def draw_nearest(path: pathlib.Path, curves: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Which share of images has a training image nearer than so much."""
    for space, sets in curves.items():
        drawn = {
            name: plots.Curve(np.sort(far), np.arange(1, len(far) + 1) / len(far) * 100)
            for name, far in sets.items()
        }
        figure = plots.lines(
            drawn,
            x_label=f"distance to the nearest training image, in {space}",
            y_label="images nearer than that (%)",
        )
        if devices.is_writer():
            plots.save(
                path.with_stem(path.stem + ("" if space == "pixels" else "-features")), figure
            )


def likelihood_fields(
    config: ConfigDict, workdir: pathlib.Path, test: source.Source
) -> dict[str, Any] | None:
    """Bits/dim of the first test images under the trained model, with the standard error over images."""
    num = min(config.evaluation.likelihood_images, len(test.labels))
    if num < 2:
        return None
    model = trained.load_model(config, rundir.checkpoints(workdir))
    images = source.decode(source.take(test, range(num)))
    print(f"[evaluate] bits/dim of {num} test images", flush=True)
    found = likelihoods.bits_per_dim(config, model, images, test.labels[:num])
    return {
        "n": num,
        "of": f"the first images of the test split of {test.name}, given their labels",
        "checkpoint": model.facts["step"],
        "num_steps": config.evaluation.likelihood_steps or model.table.num_steps,
    } | {
        part: {"mean": float(values.mean()), "standard_error": float(values.std(ddof=1) / num**0.5)}
        for part, values in found._asdict().items()
    }


def summary(fields: Mapping[str, Any], name: str) -> str:
    distance, memory = fields[name], fields["memorization"]
    parts = [
        f"{name}: {distance['value']:.3g} of {fields['n']} images "
        f"(as many real training images: {distance['floor']:.3g})",
        f"recall {fields['manifold']['recall']:.2f}",
    ]
    if memory["copies"] is not None:
        share = 100 * memory["pixels"]["share"]
        parts.append(f"{share:.1f} % nearer to a training image than 99 % of real test images")
        if memory["copies"]:
            parts.append("THE MODEL COPIES training images")
    if fields["likelihood"]:
        parts.append(f"at most {fields['likelihood']['bound']['mean']:.2f} bits/dim")
    return "; ".join(parts)
