"""--mode=own: what is a generator of a small set worth to a classifier that has the same set and no more?

For each size, several small sets are drawn from the training images. Each has a generator of its own, which
sees nothing else, and its own classifiers, all trained for equal steps. The classifiers' settings are chosen
for the arms of real images and for those with synthetic ones alike: by the accuracy on held-out folds of
further small sets, whose generators have not seen the fold. Only the last classifiers read test images.

Every small set is an ordinary run in `own/SIZE/SEED`, so the study resumes, and several processes that are
started with the same command share the sets among them.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, small_runs, stages, view
from ddpm_jax.assembly import datasets
from ddpm_jax.data import source
from ddpm_jax.evaluation import worth
from ddpm_jax.measuring import small_sets
from ddpm_jax.reporting import small_sets as shown
from ddpm_jax.small_runs import SmallSet
from ddpm_jax.training import devices
from ddpm_jax.viz import plots

TUNING_SEED = 1000
"""The sets that choose settings have the run's seed plus this, and the following ones."""


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    fields = study(config, workdir)
    plots.save(rundir.figures(workdir) / "own.png", shown.plot(fields))
    print(shown.table(fields["sizes"]))
    print(fields["sentence"], flush=True)
    return fields


@stages.stage("own")
def study(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """The fields of `results/own.json`."""
    if devices.num_processes() > 1:
        raise ValueError("--mode=own goes without --distributed: start the command several times")
    worth.require_seeds("own.num_sets", config.own.num_sets)
    worth.require_seeds("classifier.num_seeds", config.classifier.num_seeds)
    splits = datasets.build_splits(config.data, config.seed)
    counts = source.class_counts(splits.train) + source.class_counts(splits.validation)
    small_runs.check(config, int(counts.min()))  # before anything is trained
    names = splits.test.class_names
    sizes = [measure_size(config, files, size, names) for size in config.own.sizes]
    fields = {
        "sizes": sizes,
        "num_sets": config.own.num_sets,
        "num_steps": config.classifier.num_steps,
        "classifiers_per_set": config.classifier.num_seeds,
        "n_test": len(splits.test.labels),
        "tested_on": f"test split of {splits.test.name}",
        "class_names": names,
        "seed": config.seed,
    }
    return fields | {"sentence": shown.sentence(fields)}


def measure_size(
    config: ConfigDict, files: run_files.Files, size: int, names: Sequence[str]
) -> dict[str, Any]:
    """The arms of all small sets of a size, and how much of their synthetic images is copied."""
    own, first = config.own, config.seed + TUNING_SEED
    sets = [SmallSet(size, config.seed + number) for number in range(own.num_sets)]
    folds = [
        SmallSet(size, seed, fold)
        for seed in range(first, first + own.num_tuning_sets)
        for fold in range(own.num_folds)
    ]
    small_runs.each(files, config, folds + sets, small_runs.generate)
    chosen = {}
    accuracies: dict[str, Any] = {}
    for name, group in small_runs.groups_of(config).items():
        chosen[name] = choose(config, files, folds, group)
        work = small_runs.classify(name, chosen[name]["settings"], group.arms, "test")
        results = small_runs.each(files, config, sets, work)
        accuracies |= {arm: small_sets.accuracies(results, arm) for arm in group.shown}
    return {
        "per_class": size,
        "images_per_class": small_sets.images_per_class(results, len(names)),
        "synthetic": small_sets.num_synthetic(results, own.judge),
        "rows": small_sets.rows(accuracies, small_sets.step(results)),
        "chosen": chosen,
        "copies": copied(config, files, sets),
    }


def copied(config: ConfigDict, files: run_files.Files, sets: list[SmallSet]) -> dict[str, Any]:
    """Means over the sets; no share but the reason where copies cannot be told from chance."""
    try:
        found = small_runs.each(files, config, sets, small_runs.find_copies)
    except rundir.Inapplicable as why:
        return {"share": None, "why": str(why)}
    shares = ("share", "expected_share", "exact")
    return {"n": found[0]["n"]} | {
        name: float(np.mean([one[name] for one in found])) for name in shares
    }


def choose(
    config: ConfigDict, files: run_files.Files, folds: list[SmallSet], group: small_runs.Group
) -> dict[str, Any]:
    """The settings of a group of arms, and all that were tried with the accuracy on the folds."""
    start = {name: view.field(config.classifier, name) for name in group.values}
    if not folds:
        return {"judge": group.judge, "settings": start, "tried": []}

    def accuracy(settings: small_sets.Settings) -> float:
        name = f"tried/{rundir.digest([group.judge, settings])[:12]}"
        work = small_runs.classify(name, settings, (group.judge,), "validation")
        return small_sets.pooled_accuracy(small_runs.each(files, config, folds, work), group.judge)

    settings, tried = small_sets.choose(start, group.values, accuracy)
    return {"judge": group.judge, "settings": settings, "tried": tried}
