"""--mode=sweep: guidance scales by samplers, all from the same noise: a picture and, if asked, measures.

The scale with the best distance need not be the one whose images teach a classifier most. So both are
measured: the Frechet distance to real images, and the accuracy on real images of a classifier trained on
the synthetic images alone. The real images are those of the validation split, because a sweep chooses
a sampler, and test images measure the choice. `sweep.split` names another split. With several sets of
noise, a distance has an interval over them, and each classifier takes the images of one of them in turn.
An interrupted sweep resumes: what was measured is not measured again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, stages
from ddpm_jax.assembly import classifiers, datasets, feature_networks, sweep_points
from ddpm_jax.evaluation import frechet, worth
from ddpm_jax.measuring import labelled, metrics
from ddpm_jax.models import trained
from ddpm_jax.reporting import sweeps
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures


@stages.stage("sweep", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    if config.sweep.num_images and config.sweep.num_seeds:
        worth.require_seeds("sweep.num_seeds", config.sweep.num_seeds)
    model = trained.load_model(config, files.checkpoints())
    points = sweep_points.build_points(config)
    # Build all before the first image is drawn, so that what is refused is refused at once.
    draws = [
        trained.build_draw(sweep_points.config_of(config, point), model.net, model.table, "sweep")
        for point in points
    ]
    num_classes, num_images = len(model.class_names), config.sweep.num_images
    if config.sweep.num_noises < 1:
        raise ValueError(f"sweep.num_noises is {config.sweep.num_noises}, wanted at least 1")
    if config.sweep.num_seeds and not model.knows_labels:
        raise ValueError(
            f"sweep.num_seeds is {config.sweep.num_seeds}, and the model is unconditional: its images have "
            "no labels to train a classifier on; set sweep.num_seeds=0"
        )
    measure, about = build_measure(config, files, model) if num_images else (None, {})
    known: dict[str, Any] = files.unfinished() or {}
    labels = np.arange(max(num_images, num_classes), dtype=np.int32) % num_classes
    shown, rows = [], []
    with progress.bar("sweep", len(points), "points") as show:
        for done, (point, drawn) in enumerate(zip(points, draws, strict=True), 1):
            missing = measure is not None and point.name not in known
            wanted = labels if missing else labels[:num_classes]
            sets = [
                np.concatenate(list(drawn(model.weights, wanted, first=noise * len(labels))))
                for noise in range(config.sweep.num_noises if missing else 1)
            ]
            shown.append(sets[0][:num_classes])
            if measure and missing:
                made = [labelled.Labelled(images, labels) for images in sets]
                known[point.name] = measure([labelled.first(each, num_images) for each in made])
                files.keep(known)
            if measure:
                rows.append(point._asdict() | known[point.name])
            show(done)
    if devices.is_writer():
        picture = pictures.strip(
            np.stack(shown),
            model.class_names if model.knows_labels else [""] * num_classes,
            row_labels=[point.name for point in points],
            title="The same noise in each column",
        )
        pictures.save(files.figure("sweep.png"), picture)
        if rows:
            sweeps.draw(files.figure, rows, about["distance"])
    return {
        "checkpoint": model.facts["step"],
        "guidance_scales": config.sweep.guidance_scales,
        "samplers": config.sweep.samplers,
        "points": rows or None,
        **about,
        "seed": config.seed,
    }


def build_measure(
    config: ConfigDict, files: run_files.Files, model: trained.Model
) -> tuple[Callable[[Sequence[labelled.Labelled]], dict[str, Any]], dict[str, Any]]:
    """A function that measures the sets of images of a point, and the fields that all points share."""
    splits = datasets.build_splits(config.data, config.seed)
    split = datasets.held_out(splits, "sweep.split", config.sweep.split)
    real, num_classes = labelled.decode(split), len(model.class_names)
    if config.sweep.num_seeds:
        real = real._replace(label=trained.own_labels(model, split))
    shape = real.image.shape[1:]
    network = feature_networks.build_network(config, splits.train, shape, read=files.read)
    name = metrics.field_name(metrics.FRECHET, network, config.sweep.split)
    reference = frechet.moments(network.features(real.image))
    trainer = classifiers.build_trainer(config.classifier, config.seed, shape, num_classes)
    seeds = range(config.sweep.num_seeds)

    def distance_of(images: labelled.Labelled) -> float:
        return frechet.distance(frechet.moments(network.features(images.image)), reference)

    def measure(sets: Sequence[labelled.Labelled]) -> dict[str, Any]:
        distances = [distance_of(images) for images in sets]
        found: dict[str, Any] = {name: float(np.mean(distances))}
        if len(sets) > 1:
            half_width = worth.mean_interval(np.array(distances), 0)[1]
            found |= {"distances": distances, "distance_ci95": half_width}
        if not seeds:
            return found
        outcomes = [
            outcome
            for noise, images in enumerate(sets[: len(seeds)])
            for outcome in labelled.measure(
                trainer, images, real, list(seeds[noise :: len(sets)]), num_classes
            )
        ]
        confusions = np.array([outcome["confusion"] for outcome in outcomes])
        mean, half_width = worth.mean_interval(worth.accuracy(confusions), 1 / len(real.label))
        return found | {"accuracy": mean, "ci95": half_width}

    return measure, {
        "distance": name,
        "features_about": network.about,
        "n": config.sweep.num_images,
        "noises": config.sweep.num_noises,
        "n_reference": len(real.label),
        "reference": f"{config.sweep.split} split of {split.name}",
        "seeds": len(seeds),
    }
