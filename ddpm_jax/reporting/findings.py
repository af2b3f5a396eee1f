"""What the stages of a run have found, as the tables and pictures of its page."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ddpm_jax.reporting import worth_sentences
from ddpm_jax.viz import report

Fields = Mapping[str, Any]
Items = list[report.Prose | report.Values | report.Table | report.Images]

ARMS = {
    "real": "real images",
    "synthetic": "synthetic images only",
    "real+synthetic": "real and synthetic",
    "real+duplicated": "real, and as many duplicates",
    "real+augmented": "real, and as many augmented copies",
}
MEANINGS = {
    "precision": "share of synthetic images that lie among the real ones",
    "recall": "share of real images that lie among the synthetic ones",
    "density": "how densely the real ones lie around a synthetic one; 1 is as among real images",
    "coverage": "share of real images with a synthetic one near",
}


def arms(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["classify"]
    rows = [
        [
            ARMS.get(arm, arm),
            f"{values['n_train']:,}",
            percent(values["accuracy"], values["ci95"]),
            "-" if arm == "real" else points(values["gain_over_real"], values["gain_ci95"]),
            f"{values['calibration_error']:.3f}",
        ]
        for arm, values in fields["arms"].items()
    ]
    seeds = fields["arms"]["real"]["seeds"]
    caption = (
        f"Accuracy on {fields['n_test']:,} real images of the {fields['tested_on']}, which neither the "
        f"classifiers nor the generator have seen. Mean of {seeds} seeds with 95 % intervals; the gain, "
        "over real alone, is paired by seed, and shows a difference where its interval leaves out 0. "
        "ECE: expected calibration error."
    )
    columns = ["trained on", "images", "accuracy (%)", "gain (points)", "ECE"]
    matrices = [
        (figures / f"confusion-{arm}.png",
         f"Confusion matrix of classifiers trained on {ARMS.get(arm, arm)}", "")
        for arm in ("real", "synthetic")
    ]  # fmt: skip
    return [
        report.Table(columns, rows, caption),
        *picture(
            figures / "arms.png", "Accuracy of each arm with its interval: the table as a plot"
        ),
        *pictures(*matrices),
    ]


def worth(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["worth"]
    rows = [
        [
            ARMS[row["arm"]] + (f", {row['multiple']} for each" if row["multiple"] else ""),
            f"{row['real']:,}",
            f"{row['n_train'] - row['real']:,}",
            percent(row["accuracy"], row["ci95"]),
            points(row["gain_over_real"], row["gain_ci95"]) if "gain_ci95" in row else "-",
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
        "trained on all "
        f"{fields['num_real']:,} real images in every row: the gains at few real images are not those of "
        "someone who has no more than these."
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
        *pictures(
            (figures / "worth.png", "Accuracy over the number of real images, with and without synthetic",
             "More real images, and synthetic ones beside them."),
            (figures / "worth-alone.png", "Accuracy over the number of images, real and synthetic apart",
             "Where a horizontal line meets both curves, the numbers are worth the same."),
            (figures / "worth-equivalence.png",
             "How many real images each number of synthetic images is worth, with intervals",
             "The same as numbers; an arrow where the interval goes beyond what was measured."),
        ),
        *picture(figures / "worth-classes.png", "Gain in accuracy of each class with its interval",
                 "By class, where the gain is largest."),
        report.Table(columns, rows, caption),
    ]  # fmt: skip


def sweep(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["sweep"]
    rows = fields["points"] or []
    measured = [
        [
            row["solver"],
            row["spacing"],
            str(row["num_steps"]),
            f"{row['scale']:g}",
            f"{row[fields['distance']]:.3g}",
            *([percent(row["accuracy"], row["ci95"])] if "accuracy" in row else []),
        ]
        for row in rows
    ]
    items: Items = [
        *picture(
            figures / "sweep.png", "One image of each class for every sampler and guidance scale"
        ),
    ]
    if not measured:
        return items
    columns = ["solver", "spacing", "steps", "guidance", fields["distance"]]
    taught = " Accuracy is of classifiers trained on those images alone." * ("accuracy" in rows[0])
    caption = (
        f"{fields['n']:,} synthetic images each, from the same noise, against the "
        f"{fields['n_reference']:,} real images of the {fields['reference']}.{taught}"
    )
    return [
        report.Table([*columns, *(["accuracy (%)"] if taught else [])], measured, caption),
        *pictures(
            (figures / "sweep-distance.png", "Distance to real images over steps or guidance", ""),
            (figures / "sweep-accuracy.png", "Accuracy over steps or guidance", ""),
        ),
        *items,
    ]


def distances(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["evaluate"]
    name, frechet = distance_of(fields)
    kernel_name = next(key for key in fields if key.split("_")[0] in ("kid", "kernel"))
    kernel, manifold = fields[kernel_name], fields["manifold"]
    floor = f"{frechet['floor']:.4g}"
    rows = [
        [f"{name}, as measured", f"{frechet['value']:.4g}", floor, floor],
        [kernel_name.replace("kid", "KID"),
         f"{kernel['value']:.3g} ({kernel['low']:.2g} to {kernel['high']:.2g})",
         f"{kernel['floor']:.3g} ({kernel['floor_low']:.2g} to {kernel['floor_high']:.2g})", "0"],
    ]  # fmt: skip
    at = [frechet["at_infinity"], frechet.get("floor_at_infinity")]
    if at != [None, None]:
        cells = ["-" if value is None else f"{value:.4g}" for value in at]
        rows.insert(1, [f"{name}, without the bias of few images", *cells, "0"])
    for key in MEANINGS:
        low = manifold["floor"][key]
        rows.append([key, f"{manifold[key]:.3f}", f"{low:.3f}", "1"])
    for key, score in fields.items():
        if key.startswith("inception_score"):
            cell = f"{score['mean']:.2f} ± {score['deviation']:.2g}"
            real = f"{score['of_reference']:.2f}"
            rows.append([key, cell, real, real])
    caption = (
        f"{fields['n']:,} synthetic images, and {fields['n_floor']:,} real images of the "
        f"{fields['floor_of']} split for the floor, drawn at random with each class's share, "
        f"against the {fields['n_reference']:,} images of the {fields['reference']}. Features: "
        f"{fields['features_about']}. The floor is what a perfect generator would get. {bias_of(frechet)} "
        "An unbiased estimate near 0 can be negative. In brackets: 95 % interval over draws of both sets of "
        "images."
    )
    meanings = "; ".join(f"{key}: {meaning}" for key, meaning in MEANINGS.items())
    return [
        report.Table(["measure", "synthetic", "floor (real)", "best"], rows, caption),
        report.Prose(
            f"In words, {meanings}. The Inception Score has no floor: that of the reference's "
            "images stands there."
        ),
    ]


def bias_of(frechet: Fields) -> str:
    """What the Frechet distance's best value is, and why."""
    text = (
        "As measured, the Fréchet distance of few images is too large, so its best is the floor's. "
    )
    if frechet["at_infinity"] is None and frechet.get("floor_at_infinity") is None:
        return text + f"It is not corrected: {frechet['why']}."
    return text + (
        "Without the bias of few images: the line through the distances of parts of both sets, extended to "
        "infinitely many images of both."
    )


def distance_of(evaluation: Fields) -> tuple[str, Fields]:
    name = evaluation["distance"]
    return name.replace("fid", "FID"), evaluation[name]


def copies(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    memory = found["evaluate"]["memorization"]
    if memory["copies"] is None:
        return [report.Prose(f"Not judged: {memory['why']}.")]
    if "looked_for" not in memory:
        return [report.Prose("Judged by an earlier version: --mode=evaluate judges it again.")]
    spaces = [space for space, fields in memory.items() if isinstance(fields, Mapping)]
    measures = {
        "equal or nearer to a training image than 99 % of the other real test images (%)": (
            "share",
            100,
        ),
        "the same, expected of new real images (%)": ("expected_share", 100),
        "p-value: chance of so many near ones, if none are copies": ("p_value", 1),
        "equal to a training image": ("exact", 1),
        "the same among the real test images": ("exact_of_test", 1),
        "p-value: chance of so many equal ones, if none are copies": ("exact_p_value", 1),
        "median distance to the nearest training image": ("median_distance", 1),
        "the same, of real test images": ("median_distance_of_test", 1),
        "exact duplicates among the samples": ("duplicates", 1),
        "near duplicates among the samples (%)": ("near_duplicates_share", 100),
        "the same among the real images of the floor (%)": ("near_duplicates_share_of_real", 100),
    }
    rows = [
        [text, *(f"{factor * memory[space][key]:.3g}" for space in spaces)]
        for text, (key, factor) in measures.items()
    ]
    chance = f"the chance of so many, if none are copies, is {memory['p_value']:.2g}"
    verdict = (
        report.Prose(
            f"It copies: more samples equal training images, or lie next to them, than real test images "
            f"do; {chance}.",
            "warning",
        )
        if memory["copies"]
        else report.Prose(
            "No sign of it: samples equal training images, or lie next to them, no more often than real "
            f"test images do; {chance}."
        )
    )
    sought = (
        f"In pixels, copies were looked for of training images {memory['looked_for']} "
        f"({memory['num_variants']} variants of each); in features, of training images as they are"
        f"{' and mirrored' * memory['mirrored']}. Real test images were searched in the same way. The chance "
        "is that of three tests together (equal, near in pixels, near in features), and the warning is "
        "given below 0.001: at most one generator in 1,000 that does not copy is warned of."
    )
    pairs = "The samples nearest to a training image, and that image below"
    return [
        verdict,
        *picture(figures / "closest.png", pairs),
        *pictures(
            (figures / "nearest.png", "Share of images over the distance to the nearest training image",
             "A curve of samples left of that of real test images would be copying."),
            (figures / "nearest-features.png", "The same, with distances in features", "In features."),
        ),
        report.Table(["", *("in pixels" if s == "pixels" else f"in features ({s})" for s in spaces)], rows),
        report.Prose(sought),
    ]  # fmt: skip


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


def picture(path: pathlib.Path, alt: str, caption: str = "") -> Items:
    """Nothing where the file is not there."""
    return [report.Images([report.Image(path, alt, caption)])] if path.exists() else []


def pictures(*images: tuple[pathlib.Path, str, str]) -> Items:
    there = [report.Image(*image) for image in images if image[0].exists()]
    return [report.Images(there)] if there else []


def percent(mean: float, half_width: float) -> str:
    return f"{100 * mean:.1f} ± {100 * half_width:.1f}"


def points(mean: float, half_width: float) -> str:
    return f"{100 * mean:+.1f} ± {100 * half_width:.1f}"
