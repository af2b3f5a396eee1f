"""Should I add these images? The answer in a sentence or two, and the three numbers beside it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ddpm_jax.evaluation import worth
from ddpm_jax.reporting import distances, items, small_sets
from ddpm_jax.reporting.items import Fields
from ddpm_jax.viz import report

QUESTION = "Should I add these images?"
ASKED_OF = ("own", "classify", "worth", "export")
"""Modes whose results raise the question."""
WITH_AUGMENTATION = ("real+synthetic, real augmented", "real+synthetic, augmented")
"""Arms to compare with augmented real images, before those that also select images or soften labels. The
first that was trained is: not the best of them, which would be a choice by the accuracies that are shown."""


class Difference(NamedTuple):
    """Of two accuracies, as a share of 1, with the half-width of its 95 % interval."""

    mean: float
    half_width: float

    def __str__(self) -> str:
        return items.points_text(self.mean, self.half_width, "+-")

    @property
    def sign(self) -> int:
        """0 if the interval holds 0."""
        if abs(self.mean) <= self.half_width:
            return 0
        return 1 if self.mean > 0 else -1


def sentence(found: Mapping[str, Fields]) -> str:
    """`found`: mode -> the fields of its result; empty if no synthetic set was made or judged.

    A study of small sets comes first: its generators have seen no more images than the classifiers.
    """
    if not any(mode in found for mode in ASKED_OF):
        return ""
    if "own" in found:
        text = of_small_sets(found["own"])
    elif "classify" in found:
        text = of_arms(found["classify"])
    elif "worth" in found:
        text = of_worth(found["worth"])
    elif found["export"]["class_counts"] is None:
        text = "Not to train a classifier: these images have no labels."
    else:
        text = "Not known yet: no classifier was trained on them. --mode=classify measures it."
    if found.get("evaluate", {}).get("memorization", {}).get("copies"):
        text += " They include copies of training images."
    return text


def of_arms(fields: Fields) -> str:
    arms = fields["arms"]
    if found := against_augmented(fields):
        return verdict(found, f"augmented training alone{named(augmented_with(arms))}")
    both = "real+synthetic" if "real+synthetic" in arms else next(iter(with_both(arms)), "")
    if not both:
        return of_no_arm(fields)
    found = gain(arms[both])
    if not {"real+synthetic", "real+augmented"} <= arms.keys():
        return verdict(found, f"the real images alone{named(both)}")
    against = paired(fields, "real+synthetic", "real+augmented")
    word = ""
    if found.sign >= 0 and against.sign < 0:
        word = "No, augment instead"
    elif found.sign > 0 and against.sign == 0:
        word = "No advantage over augmentation is shown"
    doubt = " (no difference shown)" if against.sign == 0 else ""
    copies = arms["real+augmented"]["n_train"] - arms["real"]["n_train"]
    return (
        f"{verdict(found, 'the real images alone', word)} Against {copies:,} augmented copies of the real "
        f"images the difference is {against} points{doubt}."
    )


def against_augmented(fields: Fields) -> Difference | None:
    """What adding the images to augmented real ones changes, if both were trained."""
    both = augmented_with(fields["arms"])
    there = both and "real, augmented" in fields["arms"]
    return paired(fields, both, "real, augmented") if there else None


def with_both(arms: Iterable[str]) -> list[str]:
    """The arms of real and synthetic images, in whatever way."""
    return [arm for arm in arms if arm.partition(", ")[0] == "real+synthetic"]


def augmented_with(arms: Iterable[str]) -> str:
    """The arm to compare with augmented real images; "" if none was trained."""
    several = with_both(arms)
    others = [arm for arm in several if arm.endswith("augmented")]
    return next((arm for arm in (*WITH_AUGMENTATION, *others) if arm in several), "")


def named(arm: str) -> str:
    """What an arm does besides adding images and augmenting, in brackets; "" if nothing."""
    what = [s for s in arm.split(", ")[1:] if not s.endswith("augmented")]
    return f" ({' and '.join(what)})" if what else ""


def of_no_arm(fields: Fields) -> str:
    if not fields["synthetic"]:
        return "There are none: the classifiers were trained on real images alone."
    text = "Not measured: no classifier was trained on real and synthetic images together."
    if "synthetic" in fields["arms"]:
        text += f" Alone, they give {gain(fields['arms']['synthetic'])} points against real images."
    return text


def gain(arm: Mapping[str, Any], over: str = "") -> Difference:
    """Over real images; over real or augmented ones in a study of small sets."""
    if over:
        return Difference(arm[f"gain_over_{over}"], arm[f"gain_over_{over}_ci95"])
    return Difference(arm["gain_over_real"], arm["gain_ci95"])


def paired(fields: Fields, first: str, second: str) -> Difference:
    """Of the two arms' accuracies, seed by seed."""
    one, other = (np.array(fields["arms"][arm]["accuracies"]) for arm in (first, second))
    return Difference(*worth.paired_difference(one, other, 1 / fields["n_test"]))


def verdict(found: Difference, over: str, word: str = "") -> str:
    """`word` stands for the yes or no that the difference alone says."""
    word = word or {1: "Yes", 0: "No difference is shown", -1: "No"}[found.sign]
    return f"{word}: adding them changes accuracy by {found} points over {over}."


def of_small_sets(fields: Fields) -> str:
    """At each size, with the settings that were chosen for each side, against augmented training."""
    parts = []
    for size in fields["sizes"]:
        found = gain(chosen(size, "synthetic"), "augmented")
        text = verdict(found, "augmented training alone")
        parts.append(
            f"With {small_sets.number(size)} real images a class, {text[0].lower()}{text[1:]}"
        )
    seen = "The generators have seen no other images than the classifiers."
    return " ".join([*parts, seen])


def chosen(size: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """The row of the arm that settings were chosen by."""
    return {row["arm"]: row for row in size["rows"]}[size["chosen"][group]["judge"]]


def of_worth(fields: Fields) -> str:
    """Of the most synthetic images that were added to the most real ones."""
    rows = [row for row in fields["points"] if row["arm"] == "real+synthetic"]
    if not rows:
        return of_no_arm({"arms": {}, "synthetic": True})
    row = max(rows, key=lambda row: (row["real"], row["multiple"]))
    added = row["n_train"] - row["real"]
    over = f"{row['real']:,} real images alone, with {added:,} synthetic ones"
    return verdict(gain(row), over)


def numbers(found: Mapping[str, Fields]) -> list[report.Number]:
    """At most three: alone against real, what adding changes, and copies or the distance to real."""
    shown = []
    if "own" in found:
        shown += numbers_of_small_sets(found["own"]["sizes"][0])
    elif "classify" in found:
        shown += numbers_of_arms(found["classify"])
    if evaluation := found.get("evaluate"):
        shown.append(copied(evaluation) or distance(evaluation))
    return shown[:3]


def numbers_of_arms(fields: Fields) -> list[report.Number]:
    arms, shown = fields["arms"], []
    if "synthetic" in arms:
        alone, real = arms["synthetic"], arms["real"]
        against = f"real images: {items.percent_text(real['accuracy'], real['ci95'])} %"
        text = f"{items.percent_text(alone['accuracy'], alone['ci95'])} %"
        shown.append(report.Number(text, "accuracy with synthetic images alone", against))
    if added := against_augmented(fields):
        beside = f"augmentation alone, over real images: {pretty(gain(arms['real, augmented']))}"
        shown.append(report.Number(pretty(added), "points, added to augmented training", beside))
    elif "real+synthetic" in arms:
        augmented, beside = arms.get("real+augmented"), ""
        if augmented:
            copies = augmented["n_train"] - arms["real"]["n_train"]
            beside = f"{copies:,} augmented copies: {pretty(gain(augmented))}"
        added = gain(arms["real+synthetic"])
        shown.append(report.Number(pretty(added), "points, added to real images", beside))
    return shown


def numbers_of_small_sets(size: Mapping[str, Any]) -> list[report.Number]:
    added = gain(chosen(size, "synthetic"), "augmented")
    augmented = gain(chosen(size, "real"), "real")
    real = f"with {small_sets.number(size)} real images a class"
    shown = [
        report.Number(pretty(added), "points, added to augmented training", real),
        report.Number(pretty(augmented), "points, augmentation alone over real images", real),
    ]
    copies = size["copies"]
    if copies["share"] is not None:
        beside = f"expected of new real images: {100 * copies['expected_share']:.1f} %"
        share = f"{100 * copies['share']:.1f} %"
        shown.append(report.Number(share, "of the synthetic images are copies, in pixels", beside))
    return shown


def copied(evaluation: Fields) -> report.Number | None:
    """The share of copies, if there are more than chance allows, in the space that shows it most clearly."""
    memory = evaluation["memorization"]
    if not memory["copies"] or "pixels" not in memory:
        return None
    spaces = {name: found for name, found in memory.items() if isinstance(found, Mapping)}
    space = min(spaces, key=lambda name: spaces[name]["p_value"])
    found = spaces[space]
    where = "" if space == "pixels" else ", in features"
    beside = f"expected of new real images: {100 * found['expected_share']:.1f} %"
    return report.Number(
        f"{100 * found['share']:.1f} %", f"next to a training image{where}", beside
    )


def distance(evaluation: Fields) -> report.Number:
    name, fields = distances.primary(evaluation)
    floor = f"floor, of real images: {distances.short(fields['floor'])}"
    return report.Number(
        distances.short(fields["value"]), f"{name}: distance to real images", floor
    )


def pretty(found: Difference) -> str:
    return str(found).replace(" +- ", " ± ")
