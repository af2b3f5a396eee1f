"""The page of a run: a section for each finding of its stages."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from ddpm_jax.reporting import (
    accuracies,
    answer,
    arms_sentences,
    copies,
    distances,
    items,
    runs,
    small_sets,
    sweeps,
)
from ddpm_jax.reporting.items import Fields, Items
from ddpm_jax.viz import report


def heading(workdir: pathlib.Path, found: Mapping[str, Fields]) -> tuple[str, str]:
    name = workdir.resolve().name
    if "train" not in found:
        tested = found.get("classify", {})
        if not tested.get("synthetic"):
            return name, ""
        return name, f"What the images of {tested['synthetic']} are worth to a classifier."
    train = found["train"]
    lead = (
        f"A diffusion model of {train['num_parameters']:,} parameters, trained on "
        f"{train['num_images']:,} images of {len(train['class_names'])} classes in "
        f"{train['step']:,} steps"
    )
    return name, f"{lead}, and what its images are worth to a classifier."


def build_sections(
    figures: pathlib.Path,
    found: Mapping[str, Fields],
    missing: Sequence[str],
    made_with: Fields | None,
) -> Iterator[report.Section]:
    """`missing`: stages that a page should have; `made_with`: the content of `config.json`."""
    known: dict[str, tuple[Sequence[str], Callable[..., Items]]] = {
        "In short": ((), lambda figures, found: in_short(found, missing)),
        "Samples": (("sample",), samples),
        "From noise to images": (("sample",), process),
        "What it is worth to a classifier": (("classify",), accuracies.arms),
        "Worth by number of real images": (("worth",), accuracies.worth),
        "A generator of the same few images": (("own",), small_sets.section),
        "How far from real images": (("evaluate",), distances.section),
        "Solvers, steps and guidance": (("sweep",), sweeps.section),
        "Does it copy?": (("evaluate",), copies.section),
        "Likelihood": (("evaluate",), distances.likelihood),
        "Training": (("train",), training),
        "Side by side with other runs": (("runs",), runs.section),
        "How every number was made": ((), lambda figures, found: provenance(found, made_with)),
    }
    for title, (needs, build) in known.items():
        if all(stage in found for stage in needs):
            content = build(figures, found)
            if content:
                yield report.Section(title, content)


def in_short(found: Mapping[str, Fields], missing: Sequence[str]) -> Items:
    shown: Items = []
    if text := answer.sentence(found):
        shown.append(report.Prose(f"{answer.QUESTION}\n\n{tidy(text)}", "answer"))
    if numbers := answer.numbers(found):
        shown.append(report.Numbers(numbers))
    evaluation = found.get("evaluate", {})
    if evaluation.get("memorization", {}).get("copies"):
        shown.append(
            report.Prose(
                "The model copies its training images: its samples come nearer to them than new real "
                "images do. See below, and do not take its numbers for those of new images.",
                "warning",
            )
        )
    for text in in_sentences(found):
        shown.append(report.Prose(f"{tidy(text)}."))
    if evaluation:
        shown.append(report.Prose(distances.sentence(evaluation)))
    if "export" in found and found["export"]["class_counts"] is None:
        text = "The model is unconditional: its images have no labels to train a classifier on."
        shown.append(report.Prose(text))
        missing = [stage for stage in missing if stage != "classify"]
    if missing:
        modes = ", ".join(f"--mode={stage}" for stage in missing)
        shown.append(report.Prose(f"Not made yet: {modes}, with this --workdir."))
    return shown


def in_sentences(found: Mapping[str, Fields]) -> Iterator[str]:
    if "own" in found:
        yield found["own"]["sentence"]
    if "classify" in found:
        arms = arms_sentences.sentence(found["classify"]["arms"])
        yield f"Accuracy on real images of the {found['classify']['tested_on']}, trained on {arms}"
    if "worth" in found:
        yield found["worth"]["sentence"]


def tidy(text: str) -> str:
    return text.replace(" +- ", " ± ")


def samples(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    sample = found["sample"]
    sampling, origin = sample["sampling"], sample.get("imported_from")
    weights = (
        f"weights of {origin}" if origin else f"averaged weights of step {sample['checkpoint']:,}"
    )
    text = (
        f"Drawn from the {weights} in "
        f"{sampling['num_steps']} steps of {sampling['solver']}, guidance scale "
        f"{sampling['guidance_scale']:g}; not selected."
    )
    alt = "A grid of synthetic images, one row for each class"
    return items.picture(figures / "classes.png", alt, text=text)


def process(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    return [
        *items.picture(
            figures / "reverse.png",
            "Noise turning into images from left to right, and the estimate of the image at each step",
            "Sampling: the noisy image, and below it what the network takes the image to be.",
        ),
        *items.pictures(
            (figures / "reverse.gif", "Animation of one image of each class out of noise", "As it goes."),
            (figures / "forward.png", "Real images turning into noise from left to right",
             "The way the network was trained to undo."),
            (figures / "progress.gif", "Animation of samples from the same noise over the training",
             "The same noise over the training."),
        ),
    ]  # fmt: skip


def training(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    train = found["train"]
    planned = found.get("plan", {}).get("stages")  # none if the run was found not to fit
    since = f" since step {train['resumed_at']:,}" if train.get("resumed_at") else ""
    values = {
        "images": f"{train['num_images']:,} in {len(train['class_names'])} classes",
        "parameters": f"{train['num_parameters']:,}",
        "steps": f"{train['step']:,}",
        "time": f"{train['seconds']:,.0f} s{since}, {train['images_per_second']:,.0f} images/s",
        "on": f"{train['num_devices']} x {train['platform']}",
    }
    if train["validation_loss"] is not None:
        best = f"best at step {train['best_step']:,}"
        values["validation loss"] = f"{train['validation_loss']:.4f} at the end; {best}"
    if planned:
        values["planned time"] = f"{planned['train']['seconds']:,.0f} s"
    last = sorted((figures / "samples").glob("*.png"))[-1:]
    return [
        report.Values(values),
        *items.pictures(
            (figures / "loss.png", "Training and validation loss over the steps", ""),
            *((path, "Samples during training", f"At step {int(path.stem):,}.") for path in last),
        ),
    ]


def provenance(found: Mapping[str, Fields], made_with: Fields | None) -> Items:
    """Command, seed, digests and versions of each stage, and the whole config."""
    shown: Items = []
    for stage, fields in found.items():
        kept = {
            name: str(value)
            for name, value in fields.items()
            if name
            in ("command", "seed", "seconds", "checkpoint", "inputs", "n", "n_reference", "n_test")
            or name.endswith("sha256")
        }
        versions = fields.get("versions", {})
        if versions:
            kept["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
        shown.append(report.Values(kept, f"--mode={stage}"))
    if made_with is not None:
        config = {section: json.dumps(value) for section, value in made_with["config"].items()} | {
            "git revision": str(made_with["git_revision"])
        }
        shown.append(report.Values(config, "The whole config"))
    return shown
