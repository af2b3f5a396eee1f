"""What classifiers learned from each training set, as sections of the page."""

import pathlib
from collections.abc import Mapping

import numpy as np

from ddpm_jax.reporting import items, worth_sentences
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import class_plots, plots, report

ARMS = {
    "real": "real images",
    "synthetic": "synthetic images only",
    "real+synthetic": "real and synthetic",
    "real+duplicated": "real, and duplicates of them",
    "real+augmented": "real, and augmented copies of them",
}
SUFFIXES = {
    "selected": "labels that an ensemble agrees with",
    "soft": "labels as probabilities",
    "augmented": "augmented in the training",
}


def arms(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["classify"]
    rows = [
        [
            in_words(arm),
            f"{values['n_train']:,}",
            items.percent_text(values["accuracy"], values["ci95"]),
            "-"
            if arm == "real"
            else items.points_text(values["gain_over_real"], values["gain_ci95"]),
            f"{values['calibration_error']:.3f}",
        ]
        for arm, values in fields["arms"].items()
    ]
    seeds = fields["arms"]["real"]["seeds"]
    # What another program's generator has seen is not known; validation images may have chosen a checkpoint.
    generator = "train" in found and fields["classifier"]["split"] == "test"
    unseen_by = (
        "neither the classifiers nor the generator have" if generator else "no classifier has"
    )
    caption = (
        f"Accuracy on {fields['n_test']:,} real images of the {fields['tested_on']}, which {unseen_by} seen. "
        f"Mean of {seeds} seeds with 95 % intervals; the gain, "
        "over real alone, is paired by seed, and shows a difference where its interval leaves out 0. "
        "ECE: expected calibration error."
    )
    columns = ["trained on", "images", "accuracy (%)", "gain (points)", "ECE"]
    matrices = [
        (figures / f"confusion-{arm}.png",
         f"Confusion matrix of classifiers trained on {in_words(arm)}", "")
        for arm in ("real", "synthetic") if arm in fields["arms"]
    ]  # fmt: skip
    return [
        report.Table(columns, rows, caption),
        *items.picture(
            figures / "arms.png", "Accuracy of each arm with its interval: the table as a plot"
        ),
        *items.pictures(*matrices),
    ]


def draw(figures: pathlib.Path, fields: Fields) -> None:
    """The table as a plot, and the confusion matrix of each arm."""
    title = f"{fields['tested_on']}, {fields['n_test']} images"
    drawn = {arm: (values["accuracy"], values["ci95"]) for arm, values in fields["arms"].items()}
    plots.save(figures / "arms.png", plots.arms(drawn, title=title))
    for arm, values in fields["arms"].items():
        counts = np.array(values["confusion"])
        picture = class_plots.confusion(counts, fields["class_names"], title=f"Trained on {arm}")
        plots.save(figures / f"confusion-{arm.replace(', ', '-')}.png", picture)


def in_words(arm: str) -> str:
    """What an arm's classifiers are trained on; a semicolon stands before what its suffixes say."""
    parts, *suffixes = arm.split(", ")
    return "; ".join([ARMS.get(parts, parts), *(SUFFIXES.get(s, s) for s in suffixes)])


def worth(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["worth"]
    rows = [
        [
            ARMS[row["arm"]] + (f", {row['multiple']} for each" if row["multiple"] else ""),
            f"{row['real']:,}",
            f"{row['n_train'] - row['real']:,}",
            items.percent_text(row["accuracy"], row["ci95"]),
            items.points_text(row["gain_over_real"], row["gain_ci95"])
            if "gain_ci95" in row
            else "-",
            worth_sentences.number(row["worth_real"], fields["points"])
            if "worth_real" in row
            else "-",
            worth_sentences.interval(row["worth_real"], fields["points"])
            if "worth_real" in row
            else "-",
        ]
        for row in fields["points"]
    ]
    caption = (
        f"Mean of {fields['seeds']} seeds with 95 % intervals on {fields['n_test']:,} real images of the "
        f"{fields['tested_on']}; each seed has its own real subset, the same in all rows. The gain is over "
        "the same real images alone, of synthetic images alone over all real ones. Worth: the number of "
        "real images that give the same accuracy, with a 95 % interval over seeds; a bound where the "
        "real sizes around it are more than half a decade apart or end before it. The generator was "
        f"{fields['generator']}: the gains at few real images are not those of someone who has no more than "
        "these."
    )
    columns = [
        "trained on",
        "real",
        "synthetic",
        "accuracy (%)",
        "gain (points)",
        "worth real",
        "how sure",
    ]
    return [
        *items.pictures(
            (figures / "worth.png", "Accuracy over the number of real images, with and without synthetic",
             "More real images, and synthetic ones beside them."),
            (figures / "worth-alone.png", "Accuracy over the number of images, real and synthetic apart",
             "Where a horizontal line meets both curves, the numbers are worth the same."),
            (figures / "worth-equivalence.png",
             "How many real images each number of synthetic images is worth, with intervals",
             "The same as numbers; an arrow where the interval goes beyond what was measured."),
        ),
        *items.picture(figures / "worth-classes.png", "Gain in accuracy of each class with its interval",
                 "By class, where the gain is largest."),
        report.Table(columns, rows, caption),
    ]  # fmt: skip
