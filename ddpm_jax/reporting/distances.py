"""How far synthetic images are from real ones, as text made from the entries of `metrics.METRICS`."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ddpm_jax.measuring import metrics
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import report

PAPERS = ("fid", "kid")  # in capitals on the page


class Shown(NamedTuple):
    """A metric of an evaluation, its name there, and its row."""

    metric: metrics.Metric
    name: str
    row: metrics.Row


def shown(evaluation: Fields) -> Iterator[Shown]:
    for metric in metrics.METRICS:
        field = metrics.found_in(metric, evaluation)
        row = None if field is None else metric.row(evaluation[field])
        if field is not None and row is not None:
            yield Shown(metric, field if metric.official else metric.name, row)


def capitals(name: str) -> str:
    first, *rest = name.split("_")
    return "_".join([first.upper() if first in PAPERS else first, *rest])


def label(found: Shown) -> str:
    return found.metric.label.format(capitals(found.name))


def section(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["evaluate"]
    several, fewer = list(shown(fields)), has_fewer(fields)
    rows = [
        [
            label(one),
            one.row.text,
            one.row.floor_text,
            one.metric.best or ("-" if fewer else one.row.floor_text),
        ]
        for one in several
    ]
    floor = (
        "The floor is of fewer images and therefore too high: a value below it does not say much."
        if fewer
        else "The floor is what a perfect generator would get."
    )
    caption = (
        f"{fields['n']:,} synthetic images, and {fields['n_floor']:,} real images of the "
        f"{fields['floor_of']} split for the floor, drawn at random with each class's share, "
        f"against the {fields['n_reference']:,} images of the {fields['reference']}. Features: "
        f"{fields['features_about']}. {floor} {bias_of(fields[fields['distance']], fewer)}"
    )
    meanings = {label(one): with_source(one.metric) for one in several}
    return [
        report.Table(["measure", "synthetic", "floor (real)", "best"], rows, caption),
        report.Values(meanings),
    ]


def with_source(metric: metrics.Metric) -> str:
    return metric.meaning + (f" ({metric.source})" if metric.source else "")


def has_fewer(evaluation: Fields) -> bool:
    """Whether the floor is of fewer images than the value; then it is no best value."""
    return bool(evaluation["n_floor"] < evaluation["n"])


def bias_of(frechet: Fields, fewer: bool) -> str:
    """The best value of the Frechet distance, and why."""
    best = "" if fewer else ", so its best is the floor's"
    text = f"As measured, the Fréchet distance of few images is too large{best}. "
    if frechet["at_infinity"] is None and frechet.get("floor_at_infinity") is None:
        return text + f"It is not corrected: {frechet['why']}."
    return text + (
        "Without the bias of few images: the line through the distances of parts of both sets, extended to "
        "infinitely many images of both."
    )


def primary(evaluation: Fields) -> tuple[str, Fields]:
    """The name and fields of the distance that sentences are about."""
    name = evaluation["distance"]
    return capitals(name), evaluation[name]


def short(value: float) -> str:
    """Three digits, without an exponent below a million."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def sentence(evaluation: Fields) -> str:
    name, distance = primary(evaluation)
    inception = name.startswith("FID")
    return (
        f"{name} of {evaluation['n']:,} synthetic images to the {evaluation['n_reference']:,} of the "
        f"{evaluation['reference']}: {short(distance['value'])}; of {evaluation['n_floor']:,} real "
        f"{evaluation['floor_of']} images: {short(distance['floor'])}, which is the floor."
        + (" Fewer images raise it." if has_fewer(evaluation) else "")
        + ("" if inception else " These features are not Inception's: this is not an FID.")
    )


def summary(evaluation: Fields) -> list[str]:
    """Parts of the line that an evaluation prints: metrics with a column, the first with its floor."""
    first, *others = [one for one in shown(evaluation) if one.metric.column]
    return [
        f"{first.name}: {first.row.value:.3g} of {evaluation['n']} images "
        f"({evaluation['n_floor']} real {evaluation['floor_of']} images: {first.row.floor:.3g})",
        *(f"{one.name} {one.row.value:.3g}" for one in others),
    ]


def columns() -> list[str]:
    """Headings in the table of several runs."""
    return [metric.column for metric in metrics.METRICS if metric.column]


def cells(evaluation: Fields | None) -> list[str]:
    """Cells under `columns`; each also gives the metric's name if that depends on the features."""
    found = {one.metric.column: one for one in shown(evaluation or {})}
    return [
        f"{found[column].row.value:.3g}"
        + (f" ({found[column].name})" if found[column].metric.official else "")
        if column in found
        else "-"
        for column in columns()
    ]


def table_for_docs() -> str:
    """The Markdown table of all metrics in docs/evaluation.md."""
    lines = ["| number | what it is | best |", "|---|---|---|"]
    for metric in metrics.METRICS:
        names = [f"`{metric.name}`"]
        if metric.official and not metric.field:
            names = [f"`{metric.official}`", f"`{metric.name}_NAME`"]
        best = metric.best or "the floor"
        lines.append(f"| {', '.join(names)} | {with_source(metric)} | {best} |")
    return "\n".join(lines) + "\n"


def likelihood(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["evaluate"]["likelihood"]
    if not fields:
        return []
    names = {
        "bound": "variational bound", "prior": "of it: prior", "diffusion": "of it: steps",
        "decoder": "of it: last step", "flow": "probability flow",
    }  # fmt: skip
    rows = [
        [text, f"{fields[key]['mean']:.3f} ± {1.96 * fields[key]['standard_error']:.3f}"]
        for key, text in names.items()
    ]
    caption = (
        f"Bits per dimension of {fields['n']} images ({fields['of']}), with 95 % intervals over images; "
        f"{fields['num_steps']} steps, checkpoint {fields['checkpoint']:,}."
    )
    note = (
        "The bound is that of ancestral sampling with clipping; the flow's is the likelihood of "
        "deterministic sampling without it, of images whose gray values are spread evenly over their bins. "
        "These are two models of one network, so that the second may lie above the bound of the first."
    )
    return [report.Table(["", "bits/dim"], rows, caption), report.Prose(note)]
