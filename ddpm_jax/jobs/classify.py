"""--mode=classify: what a synthetic set is worth to a classifier, on real test images.

Each arm is a training set. The test images are those of the real source's test split, which neither a
classifier nor, with the same data section, the generator has seen.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, rundir
from ddpm_jax.assembly import choice, classifiers, datasets
from ddpm_jax.data import source
from ddpm_jax.evaluation import worth
from ddpm_jax.measuring import labelled
from ddpm_jax.measuring.labelled import Images
from ddpm_jax.training import devices


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    if not rundir.synthetic(workdir).exists():
        raise FileNotFoundError(f"{rundir.synthetic(workdir)} is missing; run --mode=export first")
    return run_on(config, workdir, rundir.synthetic(workdir))


def run_on(
    config: ConfigDict, workdir: pathlib.Path, synthetic: pathlib.Path | None
) -> dict[str, Any]:
    """`config` needs the sections `data` and `classifier`, and `seed`, only."""
    if synthetic:
        labelled.require_labels(synthetic)
    inputs = {
        "data": rundir.model_inputs(config.to_dict(), sections=("data",)),
        "classifier": config.classifier.to_dict(),
        "synthetic": synthetic and hashlib.sha256(synthetic.read_bytes()).hexdigest(),
    }
    return rundir.stage(
        workdir,
        "classify",
        inputs,
        lambda: classify(config, workdir, synthetic, inputs),
        write=devices.is_writer(),
    )


def classify(
    config: ConfigDict,
    workdir: pathlib.Path,
    synthetic: pathlib.Path | None,
    inputs: Mapping[str, Any],
) -> dict[str, Any]:
    """The fields of `results/classify.json`. What an interrupted call has trained is not trained again."""
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    real, test = (labelled.decode(split) for split in (splits.train, splits.test))
    made = labelled.read_synthetic(synthetic, names, real.image.shape[1:]) if synthetic else None
    training_sets = build_arms(config, real, made)
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, real.image.shape[1:], len(names)
    )
    kept = workdir / "results" / "classify.partial.json"
    outcomes = restore(kept, rundir.digest(inputs))
    groups = list(seed_groups(config.classifier))
    total = len(training_sets) * config.classifier.num_seeds
    with progress.bar("classify", total, "classifiers") as show:
        for arm, images in training_sets.items():
            done = outcomes.setdefault(arm, [])
            for seeds in groups:
                if seeds[-1] >= len(done):
                    done += labelled.measure(trainer, images, test, seeds, len(names))
                    save(kept, rundir.digest(inputs), outcomes)
                show(sum(map(len, outcomes.values())))
    if devices.is_writer():
        kept.unlink(missing_ok=True)
    arms = {
        arm: summarize(outcomes[arm], outcomes["real"], len(images.label))
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


def build_arms(config: ConfigDict, real: Images, synthetic: Images | None) -> dict[str, Images]:
    """Arm -> training set. The controls have no synthetic image, and by default the size of real +
    synthetic."""
    num_more = len(synthetic.label) if synthetic else len(real.label)
    if config.classifier.copies:
        num_more = config.classifier.copies * len(real.label)
    again = np.resize(np.random.default_rng(config.seed).permutation(len(real.label)), num_more)
    more = Images(real.image[again], real.label[again])
    known = {"real": lambda: real}
    if synthetic:
        known["synthetic"] = lambda: synthetic
        known["real+synthetic"] = lambda: labelled.join(real, synthetic)
    known["real+duplicated"] = lambda: labelled.join(real, more)
    known["real+augmented"] = lambda: labelled.join(
        real, labelled.augmented(config.classifier.augment, config.seed, more)
    )
    wanted = [arm for arm in config.classifier.arms if synthetic or "synthetic" not in arm]
    if "real" not in wanted:
        raise ValueError(
            f"classifier.arms is {wanted}; it must hold 'real', the baseline of the others"
        )
    return {arm: choice.choose("classifier.arms", arm, known)() for arm in wanted}


def seed_groups(config: ConfigDict) -> Iterator[list[int]]:
    """The seeds that are trained at once."""
    seeds = list(range(config.num_seeds))
    return iter([seeds] if config.vmap_seeds else [[seed] for seed in seeds])


def summarize(
    outcomes: list[dict[str, Any]], baseline: list[dict[str, Any]], n_train: int
) -> dict[str, Any]:
    """Means and 95 % t-intervals over seeds; the gain over real is paired by seed."""
    accuracies, reference = (
        worth.accuracy(np.array([outcome["confusion"] for outcome in several]))
        for several in (outcomes, baseline)
    )
    mean, half_width = worth.mean_interval(accuracies)
    gain, gain_half_width = worth.paired_difference(accuracies, reference)
    counts = np.sum([outcome["confusion"] for outcome in outcomes], axis=0)
    return {
        "accuracy": mean,
        "ci95": half_width,
        "seeds": len(outcomes),
        "n_train": n_train,
        "accuracies": accuracies,
        "gain_over_real": gain,
        "gain_ci95": gain_half_width,
        "per_class_accuracy": worth.per_class_accuracy(counts),
        "confusion": counts,
        "calibration_error": float(np.mean([o["calibration_error"] for o in outcomes])),
    }


def restore(path: pathlib.Path, made_from: str) -> dict[str, list[dict[str, Any]]]:
    if path.exists() and (before := rundir.read_json(path))["inputs"] == made_from:
        return before["outcomes"]
    return {}


def save(path: pathlib.Path, made_from: str, outcomes: Mapping[str, Any]) -> None:
    if devices.is_writer():
        rundir.write_json(path, {"inputs": made_from, "outcomes": outcomes})
