"""--mode=worth: how many real images a synthetic one is worth, to a classifier, on real test images.

Measures accuracy over the number of real images: with real images alone, with synthetic ones alone, with
both at several multiples, and with as many duplicates or augmented copies instead of the synthetic ones.
Each seed has its own real subset, the same in every arm, so that arms are compared in pairs; smaller
subsets are parts of larger ones. Further real sizes are added around the size that all synthetic images
alone are worth.
"""

import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, rundir, stages
from ddpm_jax.assembly import augmentation, classifiers, datasets
from ddpm_jax.evaluation.worth import require_seeds
from ddpm_jax.measuring import labelled, subsets, worth_rows
from ddpm_jax.models import checkpoint_choice, trained_on
from ddpm_jax.reporting import worth_sentences
from ddpm_jax.reporting.worth_plots import draw
from ddpm_jax.training import devices


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    fields = study(config, workdir)
    if devices.is_writer():
        draw(rundir.figures(workdir), fields)
    print(worth_sentences.table(fields["points"]))
    print(fields["sentence"], flush=True)
    return fields


@stages.stage("worth", "export")
def study(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """The fields of `results/worth.json`. What an interrupted call trained is not trained again."""
    require_seeds("worth.num_seeds", config.worth.num_seeds)
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    held_out = datasets.held_out(splits, "classifier.split", config.classifier.split)
    real, test = labelled.decode(splits.train), labelled.decode(held_out)
    synthetic = files.synthetic()
    assert synthetic is not None  # if it is missing, `files.synthetic` raises
    trained_on.require(synthetic, config.data, splits.train)
    made = labelled.read_synthetic(synthetic, names, real.image.shape[1:])
    section = config.classifier.copy_and_resolve_references()
    section.num_steps = config.worth.num_steps or section.num_steps
    trainer = classifiers.build_trainer(section, config.seed, real.image.shape[1:], len(names))
    copies = augmentation.build_copies(config.classifier.augment)
    known: dict[str, Any] = files.unfinished() or {}

    def train(point: subsets.Point, seed: int) -> None:
        images = subsets.training_set(point, real, made, seed + config.seed, copies)
        outcome = labelled.measure(trainer, images, test, [seed], len(names))[0]
        known[worth_rows.key(point, seed)] = outcome | {"n_train": len(images.label)}
        files.keep(known)

    generator = f"trained on all {len(real.label):,} real images in every row"
    if origin := checkpoint_choice.imported_from(files.workdir):
        generator = f"imported from {origin}; which images it was trained on is not known"
    num_real, num_made = (subsets.per_class(images, len(names)) for images in (real, made))
    rows = worth_rows.summarize(measure_all(config.worth, num_real, num_made, train, known))
    return {
        "points": rows,
        "sentence": worth_sentences.sentence(rows),
        "generator": generator,
        "num_real": len(real.label),
        "num_synthetic": len(made.label),
        "class_names": names,
        "seeds": config.worth.num_seeds,
        "n_test": len(test.label),
        "tested_on": f"{config.classifier.split} split of {splits.test.name}",
        "classifier": section.to_dict(),
        "seed": config.seed,
    }


def measure_all(
    config: ConfigDict,
    num_real: int,
    num_made: int,
    train: Callable[[subsets.Point, int], None],
    known: Mapping[str, Any],
) -> dict[subsets.Point, list[Any]]:
    """Outcomes of each point by seed: first the configured sizes, then real sizes around the answer.

    num_real, num_made: images of the smallest class. `train` adds the outcome of a point and seed to `known`.
    """
    points = list(
        subsets.points(
            num_real,
            num_made,
            sizes=config.sizes,
            multiples=config.multiples,
            controls=config.controls,
        )
    )
    train_missing(points, config.num_seeds, train, known)
    for _ in range(config.extra_sizes):
        several = worth_rows.by_point(points, known, config.num_seeds)
        point = worth_rows.further_point(several, num_real)
        if point is None:
            break
        print(f"[worth] one more real size: {point.real:,} of each class", flush=True)
        points = sorted([point, *points], key=subsets.order)
        train_missing([point], config.num_seeds, train, known)
    return worth_rows.by_point(points, known, config.num_seeds)


def train_missing(
    points: Sequence[subsets.Point],
    num_seeds: int,
    train: Callable[[subsets.Point, int], None],
    known: Mapping[str, Any],
) -> None:
    pairs = list(itertools.product(range(num_seeds), points))
    missing = [(point, seed) for seed, point in pairs if worth_rows.key(point, seed) not in known]
    before = len(pairs) - len(missing)
    with progress.bar("worth", len(pairs), "classifiers", before) as show:
        for done, (point, seed) in enumerate(missing, before + 1):
            train(point, seed)
            show(done)
