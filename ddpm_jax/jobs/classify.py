"""--mode=classify: what a synthetic set is worth to a classifier, on real test images.

Each arm is a training set. The test images are the real source's test split. No classifier has seen
them, and neither has the generator if it was trained with the same data section.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, stages
from ddpm_jax.assembly import augmentation, choice, classifiers, datasets
from ddpm_jax.data import source
from ddpm_jax.measuring import labelled, outcomes
from ddpm_jax.measuring.labelled import Labelled


@stages.stage("classify", "export")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """`config` needs only the sections `data` and `classifier`, and `seed`.

    Resumes: what an interrupted call has trained is not trained again.
    """
    synthetic = files.synthetic()
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    real, test = (labelled.decode(split) for split in (splits.train, splits.test))
    made = labelled.read_synthetic(synthetic, names, real.image.shape[1:]) if synthetic else None
    training_sets = build_arms(config, real, made)
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, real.image.shape[1:], len(names)
    )
    known: dict[str, list[dict[str, Any]]] = files.unfinished() or {}
    groups = list(seed_groups(config.classifier))
    total = len(training_sets) * config.classifier.num_seeds
    with progress.bar("classify", total, "classifiers") as show:
        for arm, images in training_sets.items():
            done = known.setdefault(arm, [])
            for seeds in groups:
                if seeds[-1] >= len(done):
                    done += labelled.measure(trainer, images, test, seeds, len(names))
                    files.keep(known)
                show(sum(map(len, known.values())))
    arms = {
        arm: outcomes.summarize(known[arm], known["real"], len(images.label))
        for arm, images in training_sets.items()
    }
    return {
        "arms": arms,
        "class_names": names,
        "n_test": len(test.label),
        "tested_on": f"test split of {splits.test.name}",
        "test_sha256": source.fingerprint(splits.test),
        "classifier": config.classifier.to_dict(),
        "synthetic": str(synthetic) if synthetic else None,
        "seed": config.seed,
    }


def build_arms(
    config: ConfigDict, real: Labelled, synthetic: Labelled | None
) -> dict[str, Labelled]:
    """Arm -> training set. The controls hold no synthetic image; by default they have the size of
    real+synthetic."""
    num_more = len(synthetic.label) if synthetic else len(real.label)
    if config.classifier.copies:
        num_more = config.classifier.copies * len(real.label)
    again = np.resize(np.random.default_rng(config.seed).permutation(len(real.label)), num_more)
    more = Labelled(real.image[again], real.label[again])
    known = {"real": lambda: real}
    if synthetic:
        known["synthetic"] = lambda: synthetic
        known["real+synthetic"] = lambda: labelled.join(real, synthetic)
    known["real+duplicated"] = lambda: labelled.join(real, more)
    copies = augmentation.build_copies(config.classifier.augment)
    known["real+augmented"] = lambda: labelled.join(
        real, more._replace(image=copies(more.image, config.seed))
    )
    wanted = [arm for arm in config.classifier.arms if synthetic or "synthetic" not in arm]
    if "real" not in wanted:
        raise ValueError(
            f"classifier.arms is {wanted}; it must hold 'real', the baseline of the others"
        )
    return {arm: choice.choose("classifier.arms", arm, known)() for arm in wanted}


def seed_groups(config: ConfigDict) -> Iterator[list[int]]:
    """Groups of seeds that are trained at once."""
    seeds = list(range(config.num_seeds))
    return iter([seeds] if config.vmap_seeds else [[seed] for seed in seeds])
