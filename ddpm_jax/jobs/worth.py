"""--mode=worth: how many real images a synthetic one is worth, to a classifier, on real test images.

Accuracy over the number of real images, of real images alone, of synthetic ones alone, of both for
several multiples, and of as many duplicates or augmented copies in the place of the synthetic ones.
Each seed has its own real subset, the same in every arm, so that arms are compared in pairs; smaller
subsets are parts of larger ones.
"""

import hashlib
import itertools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import progress, rundir
from ddpm_jax.assembly import classifiers, datasets, labelled, subsets
from ddpm_jax.evaluation import worth as statistics
from ddpm_jax.training import devices
from ddpm_jax.viz import plots


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    synthetic = rundir.synthetic(workdir)
    if not synthetic.exists():
        raise FileNotFoundError(f"{synthetic} is missing; run --mode=export first")
    labelled.require_labels(synthetic)
    inputs = {
        "data": rundir.model_inputs(config.to_dict(), sections=("data",)),
        "classifier": trained_as(config).to_dict(),
        "worth": config.worth.to_dict(),
        "synthetic": hashlib.sha256(synthetic.read_bytes()).hexdigest(),
    }
    fields = rundir.stage(
        workdir,
        "worth",
        inputs,
        lambda: study(config, workdir, rundir.digest(inputs)),
        write=devices.is_writer(),
    )
    if devices.is_writer():
        draw(rundir.figures(workdir), fields)
    print(table(fields["points"]))
    print(fields["sentence"], flush=True)
    return fields


def trained_as(config: ConfigDict) -> ConfigDict:
    """The classifier section, with the number of steps of this study."""
    section = config.classifier.copy_and_resolve_references()
    section.num_steps = config.worth.num_steps or section.num_steps
    return section


def study(config: ConfigDict, workdir: pathlib.Path, made_from: str) -> dict[str, Any]:
    """The fields of `results/worth.json`. What an interrupted call has trained is not trained again."""
    splits = datasets.build_splits(config.data, config.seed)
    names = splits.train.class_names
    real, test = labelled.decode(splits.train), labelled.decode(splits.test)
    made = labelled.read_synthetic(rundir.synthetic(workdir), names, real.image.shape[1:])
    points = list(
        subsets.build_points(
            config.worth, *(subsets.per_class(s, len(names)) for s in (real, made))
        )
    )
    section = trained_as(config)
    trainer = classifiers.build_trainer(section, config.seed, real.image.shape[1:], len(names))
    kept = workdir / "results" / "worth.partial.json"
    outcomes = restore(kept, made_from)
    pairs = list(itertools.product(range(config.worth.num_seeds), points))
    with progress.bar("worth", len(pairs), "classifiers", len(outcomes)) as show:
        for seed, point in pairs:
            name = key(point, seed)
            if name not in outcomes:
                images = subsets.training_set(
                    config.classifier.augment, point, real, made, seed + config.seed
                )
                outcomes[name] = labelled.measure(trainer, images, test, [seed], len(names))[0]
                outcomes[name]["n_train"] = len(images.label)
                if devices.is_writer():
                    rundir.write_json(kept, {"inputs": made_from, "outcomes": outcomes})
            show(len(outcomes))
    if devices.is_writer():
        kept.unlink(missing_ok=True)
    several = {
        point: [outcomes[key(point, seed)] for seed in range(config.worth.num_seeds)]
        for point in points
    }
    rows = summarize(several)
    return {
        "points": rows,
        "sentence": sentence(rows),
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


def key(point: subsets.Point, seed: int) -> str:
    return f"{point.kind}/{point.real}/{point.added}/{seed}"


def summarize(
    several: Mapping[subsets.Point, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Means and 95 % t-intervals over seeds; gains are over the same real images alone, by seed."""
    counts = {point: np.array([o["confusion"] for o in found]) for point, found in several.items()}
    right = {p: statistics.accuracy(c) for p, c in counts.items()}
    by_class = {
        p: np.array([statistics.per_class_accuracy(c) for c in cs]) for p, cs in counts.items()
    }
    alone = [point for point in several if not point.added]
    sizes = np.array([several[point][0]["n_train"] for point in alone])
    curve = np.array([right[point] for point in alone])
    rows = []
    for point, found in several.items():
        mean, half_width = statistics.mean_interval(right[point])
        row = {
            "arm": point.arm,
            "real": found[0]["n_train"] if not point.added else rows_of(alone, sizes, point.real),
            "multiple": point.multiple,
            "n_train": found[0]["n_train"],
            "accuracy": mean,
            "ci95": half_width,
            "accuracies": right[point],
            "per_class_accuracy": by_class[point].mean(axis=0),
            "calibration_error": float(np.mean([o["calibration_error"] for o in found])),
        }
        if point.added:
            baseline = subsets.Point(point.real or subsets.ALL, 0, 0)
            gain, width = statistics.paired_difference(right[point], right[baseline])
            gains = [
                statistics.paired_difference(*pair)
                for pair in zip(by_class[point].T, by_class[baseline].T, strict=True)
            ]
            row |= {
                "gain_over_real": gain,
                "gain_ci95": width,
                "per_class_gain": [gain for gain, _ in gains],
                "per_class_gain_ci95": [width for _, width in gains],
            }
        if point.added and point.kind == "synthetic":
            equal = statistics.equivalence(sizes, curve, right[point])
            row["worth_real"] = worth_fields(equal)
        rows.append(row)
    return rows


def rows_of(alone: Sequence[subsets.Point], sizes: np.ndarray, real: int) -> int:
    """Real images, all classes together, of which `real` are in each class."""
    return dict(zip((point.real for point in alone), sizes.tolist(), strict=True)).get(real, 0)


def worth_fields(found: statistics.Equivalence) -> dict[str, float | None]:
    """JSON has no infinity: None is more than all real images there are."""
    return {name: None if math.isinf(v) else v for name, v in found._asdict().items()}


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of all synthetic images alone, and of where they help most."""
    only = next(row for row in reversed(rows) if row["arm"] == "synthetic")
    sizes = [row["real"] for row in rows if row["arm"] == "real"]
    parts = [f"{only['n_train']:,} synthetic images are worth {span(only['worth_real'], sizes)}"]
    both = [row for row in rows if row["arm"] == "real+synthetic"]
    shown = [row for row in both if abs(row["gain_over_real"]) > row["gain_ci95"]]
    if not shown:
        parts.append("no gain or loss by adding them to real images was shown")
    else:
        best = max(shown, key=lambda row: row["gain_over_real"])
        parts.append(
            f"added to {best['real']:,} real images, {best['multiple']} for each, they change accuracy "
            f"by {100 * best['gain_over_real']:+.1f} +- {100 * best['gain_ci95']:.1f} points "
            f"(the largest of {len(both)} such comparisons)"
        )
    return "; ".join(parts)


def span(worth: Mapping[str, float | None], sizes: Sequence[int]) -> str:
    def text(number: float | None) -> str:
        if number is None:
            return f"more than {max(sizes):,}"
        return f"{number:,.0f}" if number else f"fewer than {min(sizes):,}"

    return f"{text(worth['images'])} real ones (95 % interval: {text(worth['low'])} to {text(worth['high'])})"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        f"{'trained on':<16}{'real':>8}{'images':>8}{'accuracy':>16}{'against real':>18}{'ECE':>8}"
    )
    lines = [head]
    for row in rows:
        accuracy = f"{100 * row['accuracy']:.1f} +- {100 * row['ci95']:.1f} %"
        gain = (
            f"{100 * row['gain_over_real']:+.1f} +- {100 * row['gain_ci95']:.1f}"
            if "gain_ci95" in row
            else ""
        )
        lines.append(
            f"{row['arm']:<16}{row['real']:>8}{row['n_train']:>8}{accuracy:>16}{gain:>18}"
            f"{row['calibration_error']:>8.3f}"
        )
    return "\n".join(lines)


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
    plots.save(figures / "worth-equivalence.png", equivalence(alone, title))
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


def equivalence(alone: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> plots.Figure:
    def column(name: str) -> np.ndarray:
        values = [row["worth_real"][name] for row in alone["synthetic"]]
        return np.array([np.inf if value is None else value for value in values], np.float64)

    sizes = [row["real"] for row in alone["real"]]
    return plots.equivalence(
        np.array([row["n_train"] for row in alone["synthetic"]], np.float64),
        column("images"),
        np.array([column("low"), column("high")]),
        between=(min(sizes), max(sizes)),
        title=title,
    )


def percent(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [100 * row["accuracy"] for row in rows], [100 * row["ci95"] for row in rows]


def restore(path: pathlib.Path, made_from: str) -> dict[str, Any]:
    if path.exists() and (before := rundir.read_json(path))["inputs"] == made_from:
        return before["outcomes"]
    return {}
