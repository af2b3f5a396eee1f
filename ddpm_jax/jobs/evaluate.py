"""--mode=evaluate: how far the synthetic images are from real ones, and whether they copy.

Every distance is printed beside its floor: the distance of as many real images to the same reference.
Only the distance on the official Inception's features is called FID.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, rundir, stages
from ddpm_jax.assembly import datasets, denoising, feature_networks, variants
from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import division, npz, source
from ddpm_jax.evaluation import features
from ddpm_jax.evaluation.features import Network
from ddpm_jax.measuring import copies, distances, metrics
from ddpm_jax.measuring.metrics import Features
from ddpm_jax.models import likelihood, trained, trained_on
from ddpm_jax.reporting import copies as copies_shown
from ddpm_jax.reporting import distances as distances_shown
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels


@stages.stage("evaluate", "export")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    synthetic = files.synthetic()
    assert synthetic is not None  # if it is missing, `files.synthetic` raises
    model = None  # loaded first, so that what is missing is reported before features are computed
    if config.evaluation.likelihood_images:
        denoising.check_variance(config)
        model = trained.load_model(config, files.checkpoints(guided=False), guided=False)
    splits = datasets.build_splits(config.data, config.seed)
    trained_on.require(synthetic, config.data, splits.train)
    made = npz.load(synthetic)
    num = chosen(config, made, splits)
    comparison = distances.comparison_with(config.evaluation.reference, splits, num, config.seed)
    reference = comparison.reference
    parts = {"synthetic": source.decode(division.stratified(made, num, config.seed))}
    for split in distances.extracted(reference):
        parts[split] = source.decode(getattr(splits, split))
    images = distances.sets_of(parts, comparison)
    shape = images.test.shape[1:]
    network = feature_networks.build_network(config, splits.train, shape, read=files.read)
    folder = pathlib.Path(config.evaluation.cache_dir or files.workdir / "features")
    seen = distances.sets_of(extract_all(network, parts, folder), comparison)
    sought = variants.build_sought(config, images.test)
    memorization, closest = copies.look_for(images, seen, network, folder, sought)
    if devices.is_writer():
        for space, shown in closest.items():
            copies_shown.draw(rundir.figures(files.workdir), space, **shown._asdict())
    fields = {
        "features": network.name,
        "features_sha256": network.digest,
        "features_about": network.about,
        "distance": metrics.field_name(metrics.FRECHET, network, reference),
        "n": len(images.synthetic),
        "n_floor": len(images.floor),
        "floor_of": comparison.floor_split,
        "n_train": len(images.train),
        "n_reference": len(images.reference),
        "reference": f"{reference.replace('+', ' and ')} split of {splits.test.name}",
        "reference_sha256": features.digest(images.reference),
        "image_sha256": features.digest(images.synthetic),
        **distances.measure(network, images, seen, folder, reference),
        "memorization": memorization,
        "likelihood": model and likelihood.fields(config, model, splits.test),
        "seed": config.seed,
    }
    print(summary(fields), flush=True)
    return fields


def chosen(config: ConfigDict, made: source.Source, splits: source.Splits) -> int:
    """How many synthetic images to compare."""
    reference = config.evaluation.reference
    choose("evaluation.reference", reference, source.REFERENCES)
    sizes = {name: len(split.labels) for name, split in splits._asdict().items()}
    wanted = config.evaluation.num_images or distances.num_synthetic(reference, sizes)
    if wanted > len(made.labels):
        print(
            f"[evaluate] {wanted} synthetic images wanted, there are {len(made.labels)}: all of them"
        )
    return min(wanted, len(made.labels))


def extract_all(
    network: Network, parts: Mapping[str, Pixels], folder: pathlib.Path
) -> dict[str, Features]:
    """Features of each part, cached in `folder` by content, so that an interrupted call resumes."""

    def extract(name: str, pixels: Pixels) -> Features:
        with progress.bar(
            f"{network.name} features of {name} images", len(pixels), "images"
        ) as show:
            return distances.extract(
                network, pixels, folder, progress=lambda done, total: show(done)
            )

    return {name: extract(name, pixels) for name, pixels in parts.items()}


def summary(fields: Mapping[str, Any]) -> str:
    parts = distances_shown.summary(fields)
    parts += copies_shown.in_words(fields["memorization"], fields["n"])
    if fields["likelihood"]:
        parts.append(f"at most {fields['likelihood']['bound']['mean']:.2f} bits/dim")
    return "; ".join(parts)
