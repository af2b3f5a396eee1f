"""--mode=classify: what a synthetic set is worth to a classifier, on real test images.

Each arm is a training set. The test images are the real source's test split. No classifier has seen
them, and neither has the generator if it was trained with the same data section.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, stages
from ddpm_jax.assembly import augmentation, classifiers, datasets
from ddpm_jax.data import source
from ddpm_jax.measuring import arms, labelled, outcomes, selection
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.models import trained_on
from ddpm_jax.types import Trainer


@stages.stage("classify", "export")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """`config` needs only the sections `data` and `classifier`, and `seed`.

    Resumes: what an interrupted call has trained is not trained again.
    """
    check(config)
    synthetic = files.synthetic()
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    held_out = datasets.held_out(splits, "classifier.split", config.classifier.split)
    real, test = (labelled.decode(split) for split in (splits.train, held_out))
    made = None
    if synthetic:
        trained_on.require(synthetic, config.data, splits.train)
        made = labelled.read_synthetic(synthetic, names, real.image.shape[1:])
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, real.image.shape[1:], len(names)
    )
    training_sets = build_arms(config, real, made, trainer, len(names))
    known: dict[str, list[dict[str, Any]]] = files.unfinished() or {}
    total = len(training_sets) * config.classifier.num_seeds
    with progress.bar("classify", total, "classifiers", sum(map(len, known.values()))) as show:

        def keep() -> None:
            files.keep(known)
            show(sum(map(len, known.values())))

        train_arms(config.classifier, trainer, training_sets, test, len(names), known, keep)
    return {
        "arms": {
            arm: outcomes.summarize(known[arm], known.get("real"), of.num_real + of.num_added)
            | {"n_synthetic": of.num_added if arms.parse(arm).has_synthetic else 0}
            for arm, of in training_sets.items()
        },
        "class_names": names,
        "n_test": len(test.label),
        "tested_on": f"{config.classifier.split} split of {splits.test.name}",
        "test_sha256": source.fingerprint(held_out),
        "classifier": config.classifier.to_dict(),
        "synthetic": str(synthetic) if synthetic else None,
        "seed": config.seed,
    }


def check(config: ConfigDict) -> None:
    """Raises ValueError if the classifier section could not be trained by; a chain asks before it trains."""
    classifiers.check(config.classifier)
    labelled.check_share(config.classifier.synthetic_share)
    for name in config.classifier.arms:
        arms.parse(name)


def build_arms(
    config: ConfigDict,
    real: Labelled,
    synthetic: Labelled | None,
    trainer: Trainer,
    num_classes: int,
) -> dict[str, arms.TrainingSet]:
    """Arm -> training set. The controls hold no synthetic image; by default they have the size of
    real+synthetic. One ensemble judges images for all arms and seeds, if an arm needs it."""
    section = config.classifier
    wanted = {name: arms.parse(name) for name in section.arms}
    wanted = {name: arm for name, arm in wanted.items() if synthetic or not arm.has_synthetic}
    judged, copies = None, augmentation.build_copies(section.augment)
    if any(arm.needs_judging for arm in wanted.values()):
        print(f"[classify] an ensemble of {section.ensemble.num} judges the images", flush=True)
        judged = selection.judge(trainer, real, synthetic, section.ensemble.num, num_classes)
    return {
        name: arms.build(
            name,
            real,
            synthetic,
            seed=config.seed,
            copies=copies,
            num_copies=section.copies,
            share=section.synthetic_share,
            threshold=section.select,
            judged=judged,
        )
        for name in wanted
    }


def train_arms(
    config: ConfigDict,
    trainer: Trainer,
    training_sets: Mapping[str, arms.TrainingSet],
    test: Labelled,
    num_classes: int,
    known: dict[str, list[dict[str, Any]]],
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Train classifiers on each arm and test them; their outcomes, by seed, are added to `known`.

    Seeds that `known` has already are not trained. `keep` is called after each addition.
    """
    seeds = list(range(config.num_seeds))
    for arm, training_set in training_sets.items():
        done = known.setdefault(arm, [])
        for group in [seeds] if config.vmap_seeds else [[seed] for seed in seeds]:
            if group[-1] >= len(done):
                images, augmented = training_set.images, training_set.augmented
                done += labelled.measure(
                    trainer, images, test, group, num_classes, augmented=augmented
                )
                keep()
