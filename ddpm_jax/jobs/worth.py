"""--mode=worth: how many real images a synthetic one is worth, to a classifier, on real test images.

Accuracy over the number of real images, of real images alone, of synthetic ones alone, of both for
several multiples, and of as many duplicates or augmented copies in the place of the synthetic ones.
Each seed has its own real subset, the same in every arm, so that arms are compared in pairs; smaller
subsets are parts of larger ones. Real sizes are added around the one that all synthetic images alone
are worth.
"""

import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, rundir, stages
from ddpm_jax.assembly import classifiers, datasets
from ddpm_jax.evaluation import equivalence
from ddpm_jax.evaluation import worth as statistics
from ddpm_jax.measuring import labelled, subsets, worth_rows
from ddpm_jax.reporting import worth_sentences
from ddpm_jax.training import devices
from ddpm_jax.viz import plots


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    fields = study(config, workdir)
    if devices.is_writer():
        draw(rundir.figures(workdir), fields)
    print(worth_sentences.table(fields["points"]))
    print(fields["sentence"], flush=True)
    return fields


def trained_as(config: ConfigDict) -> ConfigDict:
    """The classifier section, with the number of steps of this study."""
    section = config.classifier.copy_and_resolve_references()
    section.num_steps = config.worth.num_steps or section.num_steps
    return section


@stages.stage("worth", "export")
def study(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """The fields of `results/worth.json`. What an interrupted call has trained is not trained again."""
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    real, test = labelled.decode(splits.train), labelled.decode(splits.test)
    synthetic = files.synthetic()
    assert synthetic is not None  # a run has one, or says that it is missing
    made = labelled.read_synthetic(synthetic, names, real.image.shape[1:])
    section = trained_as(config)
    trainer = classifiers.build_trainer(section, config.seed, real.image.shape[1:], len(names))
    outcomes: dict[str, Any] = files.unfinished() or {}

    def train(point: subsets.Point, seed: int) -> None:
        images = subsets.training_set(
            config.classifier.augment, point, real, made, seed + config.seed
        )
        outcome = labelled.measure(trainer, images, test, [seed], len(names))[0]
        outcomes[key(point, seed)] = outcome | {"n_train": len(images.label)}
        files.keep(outcomes)

    num_real, num_made = (subsets.per_class(images, len(names)) for images in (real, made))
    several = measure_all(config.worth, num_real, num_made, train, outcomes)
    rows = worth_rows.summarize(several)
    return {
        "points": rows,
        "sentence": worth_sentences.sentence(rows),
        "generator": "trained on all real training images, also where classifiers have fewer",
        "num_real": len(real.label),
        "num_synthetic": len(made.label),
        "class_names": names,
        "seeds": config.worth.num_seeds,
        "n_test": len(test.label),
        "tested_on": f"test split of {splits.test.name}",
        "classifier": section.to_dict(),
        "seed": config.seed,
    }


def measure_all(
    config: ConfigDict,
    num_real: int,
    num_made: int,
    train: Callable[[subsets.Point, int], None],
    outcomes: Mapping[str, Any],
) -> dict[subsets.Point, list[Any]]:
    """Outcomes of each point by seed: of the configured sizes, then of real sizes around the answer.

    num_real, num_made: images of the smallest class. `train` adds an outcome of one point and seed.
    """
    points = list(subsets.build_points(config, num_real, num_made))
    train_missing(points, config.num_seeds, train, outcomes)
    for _ in range(config.extra_sizes):
        point = further_point(by_point(points, outcomes, config.num_seeds), num_real)
        if point is None:
            break
        print(f"[worth] one more real size: {point.real:,} of each class", flush=True)
        points = sorted([point, *points], key=subsets.order)
        train_missing([point], config.num_seeds, train, outcomes)
    return by_point(points, outcomes, config.num_seeds)


def further_point(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]], num_real: int
) -> subsets.Point | None:
    """The real size that tells most about what all synthetic images alone are worth, if any does."""
    sizes, curve = worth_rows.real_curve(several)
    only = several[subsets.Point(0, subsets.ALL, 0)]
    accuracy = statistics.accuracy(np.array([outcome["confusion"] for outcome in only]))
    of_each = {p.real: found[0]["n_train"] for p, found in several.items() if not p.added}
    wanted = equivalence.wanted_sizes(sizes, curve, accuracy)
    found = (subsets.real_point(size, of_each, num_real) for size in wanted)
    return next((point for point in found if point), None)


def train_missing(
    points: Sequence[subsets.Point],
    num_seeds: int,
    train: Callable[[subsets.Point, int], None],
    outcomes: Mapping[str, Any],
) -> None:
    pairs = list(itertools.product(range(num_seeds), points))
    missing = [(point, seed) for seed, point in pairs if key(point, seed) not in outcomes]
    before = len(pairs) - len(missing)
    with progress.bar("worth", len(pairs), "classifiers", before) as show:
        for done, (point, seed) in enumerate(missing, before + 1):
            train(point, seed)
            show(done)


def key(point: subsets.Point, seed: int) -> str:
    return f"{point.kind}/{point.real}/{point.added}/{seed}"


def by_point(
    points: Sequence[subsets.Point], outcomes: Mapping[str, Any], num_seeds: int
) -> dict[subsets.Point, list[Any]]:
    return {point: [outcomes[key(point, seed)] for seed in range(num_seeds)] for point in points}


def draw(figures: pathlib.Path, fields: Mapping[str, Any]) -> None:
    rows, title = fields["points"], f"{fields['tested_on']}, {fields['n_test']} images"

    def curve(chosen: Sequence[Mapping[str, Any]], x: str) -> plots.Curve:
        columns = ([row[x] for row in chosen], *percent(chosen))
        return plots.Curve(*(np.array(column, np.float64) for column in columns))

    alone = {arm: [row for row in rows if row["arm"] == arm] for arm in ("real", "synthetic")}
    both = [row for row in rows if row["arm"] == "real+synthetic"]
    curves = {"real": curve(alone["real"], "real")}
    for multiple in sorted({row["multiple"] for row in both}):
        chosen = [row for row in both if row["multiple"] == multiple]
        curves[f"real + {multiple} x synthetic"] = curve(chosen, "real")
    only = alone["synthetic"][-1]
    level = {f"{only['n_train']:,} synthetic only": 100 * only["accuracy"]}

    def save(
        name: str, curves: Mapping[str, plots.Curve], x: str, levels: Mapping[str, float]
    ) -> None:
        figure = plots.lines(
            curves, x_label=x, y_label="accuracy (%)", log_x=True, levels=levels, title=title
        )
        plots.save(figures / name, figure)

    save("worth.png", curves, "real training images", level)
    curves = {arm: curve(alone[arm], "n_train") for arm in ("real", "synthetic")}
    save("worth-alone.png", curves, "training images", {})
    plots.save(figures / "worth-equivalence.png", equivalence_plot(alone, title))
    if both:
        best = max(both, key=lambda row: row["gain_over_real"])
        drawn = dict(
            zip(
                fields["class_names"],
                zip(best["per_class_gain"], best["per_class_gain_ci95"], strict=True),
                strict=True,
            )
        )
        title = f"{best['multiple']} x synthetic added to {best['real']:,} real images"
        figure = plots.arms(drawn, x_label="gain in accuracy, points", title=title)
        plots.save(figures / "worth-classes.png", figure)


def equivalence_plot(alone: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> plots.Figure:
    def column(name: str, missing: float) -> np.ndarray:
        values = [row["worth_real"][name] for row in alone["synthetic"]]
        return np.array([missing if value is None else value for value in values], np.float64)

    sizes = [row["real"] for row in alone["real"]]
    return plots.equivalence(
        np.array([row["n_train"] for row in alone["synthetic"]], np.float64),
        column("images", np.nan),
        np.array([column("low", 0.0), column("high", np.inf)]),
        between=(min(sizes), max(sizes)),
        title=title,
    )


def percent(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [100 * row["accuracy"] for row in rows], [100 * row["ci95"] for row in rows]
