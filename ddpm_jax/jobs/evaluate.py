"""--mode=evaluate: how far the synthetic images are from real test images, and whether they copy.

Every distance is printed beside its floor: the same distance between real training images, as many of
them, and the same test images.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, rundir
from ddpm_jax.assembly import classifiers, datasets
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import (
    features,
    frechet,
    inception_score,
    kernel,
    manifold,
    memorization,
)
from ddpm_jax.training import devices, fingerprint
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures

CLOSEST_PAIRS = 12
FEWEST_TO_TEST_COPIES = 99  # so that one of them lies below the 1 % quantile


class Network(NamedTuple):
    """What images are compared by."""

    name: str
    digest: str
    trained_on: str
    features: Callable[[Pixels], np.ndarray]
    probabilities: Callable[[Pixels], np.ndarray]


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    made = rundir.result(workdir, "export")
    inputs = {
        "images": made["image_sha256"],
        "data": rundir.model_inputs(config.to_dict(), sections=("data",)),
        "evaluation": config.evaluation.to_dict(),
        "classifier": config.classifier.to_dict(),
    }
    return rundir.stage(workdir, "evaluate", inputs, lambda: evaluate(config, workdir))


def evaluate(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    splits = datasets.build_splits(config.data, config.seed)
    train, test = (source.decode(split) for split in (splits.train, splits.test))
    made = npz.load(rundir.synthetic(workdir))
    samples = source.decode(source.take(made, range(chosen(config, made, test))))
    network = own_classifier(config, splits.train, train)
    folder = workdir / "features"
    seen = {
        name: extract(name, network, images, folder)
        for name, images in (("synthetic", samples), ("train", train), ("test", test))
    }
    floor = seen["train"][: len(samples)]
    fields = {
        "features": network.name,
        "features_sha256": network.digest,
        "features_trained_on": network.trained_on,
        "n": len(samples),
        "n_floor": len(floor),
        "n_reference": len(test),
        "reference": f"test split of {splits.test.name}",
        f"frechet_{network.name}": frechet_fields(seen["synthetic"], floor, seen["test"]),
        f"kernel_{network.name}": kernel_fields(seen["synthetic"], floor, seen["test"]),
        "manifold": manifold_fields(seen["synthetic"], floor, seen["test"]),
        f"inception_score_{network.name}": inception_score.inception_score(
            network.probabilities(samples)
        )._asdict(),
        "memorization": copies(samples, train, test, rundir.figures(workdir) / "closest.png"),
        "seed": config.seed,
    }
    print(summary(fields, network.name), flush=True)
    return fields


def chosen(config: ConfigDict, made: source.Source, test: Pixels) -> int:
    """How many synthetic images are compared: the bias of few images is then that of the floor."""
    wanted = config.evaluation.num_images or len(test)
    if wanted > len(made.labels):
        print(f"[evaluate] {wanted} synthetic images wanted, there are {len(made.labels)}: all of them")
    return min(wanted, len(made.labels))


def own_classifier(config: ConfigDict, train: source.Source, images: Pixels) -> Network:
    """The classifier of this project, trained on the real training split."""
    num_classes = len(train.class_names)
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, images.shape[1:], num_classes
    )
    params = trainer.fit(images, train.labels, [0])
    return Network(
        config.classifier.net,
        fingerprint.sha256(params),
        f"train split of {train.name}",
        lambda images: trainer.features(params, images)[0],
        lambda images: trainer.predict(params, images)[0],
    )


def extract(name: str, network: Network, images: Pixels, folder: pathlib.Path) -> np.ndarray:
    """Kept in `folder`, so that an interrupted call does not begin again."""
    with progress.bar(f"features of {name}", len(images), "images") as show:
        return features.extract(
            network.features,
            images,
            batch_size=512,
            folder=folder,
            network_digest=network.digest,
            progress=lambda done, total: show(done),
        )


def frechet_fields(samples: np.ndarray, floor: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    reference = frechet.moments(test)
    fields = {
        "value": frechet.distance(frechet.moments(samples), reference),
        "floor": frechet.distance(frechet.moments(floor), reference),
    }
    if min(len(samples), len(floor)) >= 4 * samples.shape[1]:  # below, the line bends
        fields["at_infinity"] = frechet.extrapolate(samples, reference).at_infinity
        fields["floor_at_infinity"] = frechet.extrapolate(floor, reference).at_infinity
    return fields


def kernel_fields(samples: np.ndarray, floor: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    value, lowest = kernel.distance(samples, test), kernel.distance(floor, test)
    return {**value._asdict(), "floor": lowest.value, "floor_standard_error": lowest.standard_error}


def manifold_fields(samples: np.ndarray, floor: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    def fields(features: np.ndarray) -> dict[str, float]:
        return {
            **manifold.precision_recall(features, test)._asdict(),
            **manifold.density_coverage(features, test)._asdict(),
        }

    return fields(samples) | {"floor": fields(floor)}


def copies(samples: Pixels, train: Pixels, test: Pixels, path: pathlib.Path) -> dict[str, Any]:
    """In pixels: which samples are nearer to a training image than real test images are?"""
    if len(test) < FEWEST_TO_TEST_COPIES:
        return {"share": None, "why": f"{len(test)} test images, {FEWEST_TO_TEST_COPIES} needed"}
    flat = [images.reshape(len(images), -1) / 255.0 for images in (samples, train, test)]
    to_train = memorization.nearest(flat[0], flat[1])
    test_to_train = memorization.nearest(flat[2], flat[1])
    found = memorization.copy_test(to_train.distance, test_to_train.distance)
    within = memorization.nearest_within(flat[0])
    if devices.is_writer():
        ours, theirs = memorization.closest_pairs(to_train, CLOSEST_PAIRS)
        pairs = {"synthetic": samples[ours], "nearest real": train[theirs]}
        rows = [f"{distance:.2f}" for distance in to_train.distance[ours]]
        title = "Closest pairs, by distance"
        pictures.save(path, pictures.side_by_side(pairs, row_labels=rows, title=title))
    return {
        "share": found.share,
        "expected_share": found.expected_share,
        "threshold": found.threshold,
        "p_value": found.p_value,
        "exact_duplicates_within": int(np.sum(within.distance == 0)),
        "median_distance": float(np.median(to_train.distance)),
        "median_distance_of_test": float(np.median(test_to_train.distance)),
    }


def summary(fields: Mapping[str, Any], name: str) -> str:
    distance, share = fields[f"frechet_{name}"], fields["memorization"]["share"]
    parts = [
        f"frechet_{name}: {distance['value']:.3g} of {fields['n']} images "
        f"(real training images: {distance['floor']:.3g})",
        f"recall {fields['manifold']['recall']:.2f}",
    ]
    if share is not None:
        parts.append(f"{100 * share:.1f} % nearer to a training image than 99 % of real test images")
    return "; ".join(parts)
