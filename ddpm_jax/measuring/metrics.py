"""What an evaluation measures: one entry in `METRICS` per number.

The entries give `results/evaluate.json`, the table of the page, the line that an evaluation prints, the
table of several runs and the table in docs/evaluation.md. A metric that is one number of two sets of
features takes one function and one line here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ddpm_jax.evaluation import frechet, inception_score, kernel, manifold, two_sample
from ddpm_jax.evaluation.features import Network

Features = Float[np.ndarray, "N D"]
Fields = Mapping[str, Any]


class Inputs(NamedTuple):
    """Features of synthetic images, of real ones for the floor, and of the reference for both."""

    synthetic: Features
    floor: Features
    reference: Features
    moments: frechet.Moments
    """Moments of the reference's features."""
    probabilities: Mapping[str, Float[np.ndarray, "N K"]] | None = None
    """Class probabilities for "synthetic" and "reference", if the network gives any."""


class Row(NamedTuple):
    """A number beside its floor, and both as a table shows them."""

    value: float | None
    floor: float | None
    text: str
    floor_text: str


def plain_row(fields: Fields) -> Row:
    value, floor = fields["value"], fields["floor"]
    return Row(value, floor, f"{value:.3f}", f"{floor:.3f}")


class Metric(NamedTuple):
    name: str
    compute: Callable[[Inputs], Fields | None]
    """What `results/evaluate.json` holds; None if it does not apply. Entries of one field share it."""
    meaning: str
    source: str = ""
    best: str = ""
    """The best value; empty: the floor's."""
    row: Callable[[Fields], Row | None] = plain_row
    """Its row in a table; None if there is no number."""
    column: str = ""
    """Its heading in the table of several runs; metrics without one are left out there and in the summary."""
    field: str = ""
    """Its field in `results/evaluate.json`; empty: the name."""
    official: str = ""
    """Its field on the official Inception's features; on others, the field followed by the network's name.

    Empty: the field is the same on all features.
    """
    names_reference: bool = True
    """Whether a field with such a name also names the reference."""
    label: str = "{}"
    """Its label in tables; the braces stand for the field if that names the features, else for the name."""


def beside_floor(measure: Callable[[Features, Features], float]) -> Callable[[Inputs], Fields]:
    """Computes `measure(features, reference)` for the synthetic images and for the floor."""
    return lambda inputs: {
        "value": measure(inputs.synthetic, inputs.reference),
        "floor": measure(inputs.floor, inputs.reference),
    }


def frechet_fields(inputs: Inputs) -> Fields:
    """The distance at n and, if there are enough images, at infinity: without the bias of either set."""
    fields: dict[str, Any] = {}
    needed = frechet.smallest_set(inputs.reference.shape[1])
    for prefix, part in (("", "synthetic"), ("floor_", "floor")):
        found = getattr(inputs, part)
        distance = frechet.distance(frechet.moments(found), inputs.moments)
        fields[prefix.rstrip("_") or "value"] = distance
        counts = {of: len(getattr(inputs, of)) for of in (part, "reference")}
        short = [f"{count} {of} images" for of, count in counts.items() if count < needed]
        if short:
            fields[f"{prefix}at_infinity"] = None
            why = f"extrapolating needs {needed} images of each set, got {' and '.join(short)}"
            fields[f"{prefix}why"] = why
            continue
        line = frechet.extrapolate(found, inputs.reference)
        for name, values in line._asdict().items():
            fields[prefix + name] = values
    return fields


def frechet_row(fields: Fields) -> Row:
    value, floor = fields["value"], fields["floor"]
    return Row(value, floor, f"{value:.4g}", f"{floor:.4g}")


def infinity_row(fields: Fields) -> Row | None:
    value, floor = fields["at_infinity"], fields.get("floor_at_infinity")
    if value is None and floor is None:
        return None
    texts = ("-" if number is None else f"{number:.4g}" for number in (value, floor))
    return Row(value, floor, *texts)


def kernel_fields(inputs: Inputs) -> Fields:
    value, floor = (
        kernel.distance(found, inputs.reference) for found in (inputs.synthetic, inputs.floor)
    )
    ends = {"floor": floor.value, "floor_low": floor.low, "floor_high": floor.high}
    return {**value._asdict(), **ends}


def kernel_row(fields: Fields) -> Row:
    value, floor = fields["value"], fields["floor"]
    return Row(
        value,
        floor,
        f"{value:.3g} ({fields['low']:.2g} to {fields['high']:.2g})",
        f"{floor:.3g} ({fields['floor_low']:.2g} to {fields['floor_high']:.2g})",
    )


def manifold_fields(inputs: Inputs) -> Fields:
    def fields(found: Features) -> dict[str, float]:
        return {
            **manifold.precision_recall(found, inputs.reference)._asdict(),
            **manifold.density_coverage(found, inputs.reference)._asdict(),
        }

    return fields(inputs.synthetic) | {"floor": fields(inputs.floor)}


def manifold_row(name: str) -> Callable[[Fields], Row]:
    return lambda fields: plain_row({"value": fields[name], "floor": fields["floor"][name]})


def inception_score_fields(inputs: Inputs) -> Fields | None:
    if inputs.probabilities is None:
        return None
    score, real = (
        inception_score.inception_score(
            inputs.probabilities[name], num_splits=min(10, len(inputs.probabilities[name]))
        )
        for name in ("synthetic", "reference")
    )
    return {**score._asdict(), "of_reference": real.mean}


def inception_score_row(fields: Fields) -> Row:
    value, real = fields["mean"], fields["of_reference"]
    return Row(value, real, f"{value:.2f} ± {fields['deviation']:.2g}", f"{real:.2f}")


FRECHET = Metric(
    "frechet",
    frechet_fields,
    "Fréchet distance of the features, in float64",
    "Heusel et al. 2017",
    row=frechet_row,
    column="distance",
    official="fid",
    label="{}, as measured",
)
KYNKAANNIEMI, NAEEM = "Kynkäänniemi et al. 2019, k = 3", "Naeem et al. 2020, k = 5"
# fmt: off
METRICS: tuple[Metric, ...] = (
    FRECHET,
    Metric("at_infinity", frechet_fields,
           "the Fréchet distance without the bias of few images, in either set; it needs 4 images a "
           "feature in both",
           "after Chong & Forsyth 2020", "0", infinity_row, field="frechet", official="fid",
           label="{}, without the bias of few images"),
    Metric("kernel", kernel_fields,
           "squared MMD of all images, in brackets its 95 % interval over draws of both sets of images; "
           "without bias, so that near 0 it can be negative",
           "Bińkowski et al. 2018", "0", kernel_row, official="kid"),
    Metric("precision", manifold_fields, "share of synthetic images that lie among the real ones",
           KYNKAANNIEMI, row=manifold_row("precision"), field="manifold"),
    Metric("recall", manifold_fields, "share of real images that lie among the synthetic ones",
           KYNKAANNIEMI, row=manifold_row("recall"), field="manifold", column="recall"),
    Metric("density", manifold_fields,
           "how densely the real ones lie around a synthetic one; 1 is as among real images",
           NAEEM, row=manifold_row("density"), field="manifold"),
    Metric("coverage", manifold_fields, "share of real images with a synthetic one near",
           NAEEM, row=manifold_row("coverage"), field="manifold"),
    Metric("nearest_neighbor_accuracy", beside_floor(two_sample.nearest_neighbor_accuracy),
           "how often an image's nearest other image is of its own kind, real or synthetic",
           "Lopez-Paz & Oquab 2017", "0.5"),
    Metric("inception_score", inception_score_fields,
           "how sure the class of an image is, and how evenly all have the classes; its floor is the score "
           "of the reference's images",
           "Salimans et al. 2016", row=inception_score_row, official="inception_score",
           names_reference=False),
)
# fmt: on


def field_name(metric: Metric, network: Network, reference: str = "test") -> str:
    """The field in `results/evaluate.json`.

    Papers mean the test split, so the field names any other reference. The papers' names are used for the
    official Inception only.
    """
    field = metric.field or metric.name
    if not metric.official:
        return field
    name = metric.official if network.official else f"{field}_{network.name}"
    if reference == "test" or not metric.names_reference:
        return name
    return f"{name}_to_{reference.replace('+', '_')}"


def found_in(metric: Metric, evaluation: Fields) -> str | None:
    """The name of the metric's field in an evaluation, on whatever features; None if it is not there."""
    field = metric.field or metric.name
    for name in evaluation:
        if name == field or (metric.official and name == metric.official):
            return name
        if metric.official and name.startswith((f"{field}_", f"{metric.official}_")):
            return name
    return None
