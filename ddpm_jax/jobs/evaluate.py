"""--mode=evaluate: how far the synthetic images are from real test images, and whether they copy.

Every distance is printed beside its floor: the same distance between real training images, as many of
them, and the same test images. Only the official Inception's is called FID.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import progress, rundir
from ddpm_jax.assembly import (
    copies,
    datasets,
    distances,
    feature_networks,
    likelihoods,
    trained,
)
from ddpm_jax.assembly.distances import Features, Sets
from ddpm_jax.data import npz, source
from ddpm_jax.evaluation import features
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels


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
        **distances.measure(network, images, seen, folder),
        "manifold": distances.manifold_fields(seen),
        "memorization": copies.look_for(images, seen, network.name, figures),
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
                write=devices.is_writer(),
                progress=lambda done, total: show(done),
            )

    train = extract("training", images.train)
    synthetic = extract("synthetic", images.synthetic)
    return Sets(synthetic, train, train[: len(images.floor)], extract("test", images.test))


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
