"""--mode=report: everything a run has left, on one page: `report.html`.

Whatever stages there are; a stage that has not run is named with the command that runs it.
"""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import metrics, rundir, whole_file
from ddpm_jax.reporting import findings
from ddpm_jax.reporting.findings import Fields, Items
from ddpm_jax.training import devices
from ddpm_jax.viz import plots, report

SHOWN = (*rundir.CHAIN, "worth", "sweep", "runs", "plan")


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Always made anew: it takes a second, and depends on everything."""
    found = {
        stage: rundir.read_json(rundir.result_path(workdir, stage))
        for stage in SHOWN
        if rundir.result_path(workdir, stage).exists()
    }
    if "distance" not in found.get("evaluate", {"distance": ""}):
        print(
            "[report] left out: results/evaluate.json is an earlier version's; run --mode=evaluate"
        )
        del found["evaluate"]
    if not found:
        raise FileNotFoundError(f"{workdir / 'results'} holds no results; run --mode=all first")
    path = workdir / "report.html"
    if devices.is_writer():
        title, lead = heading(workdir, found)
        sections = list(build_sections(workdir, found))
        with whole_file.replacing(path) as temporary:
            report.write(temporary, title, sections, lead=lead)
        print(f"[report] {path}", flush=True)
    return {"path": str(path)}


def heading(workdir: pathlib.Path, found: Mapping[str, Fields]) -> tuple[str, str]:
    if "train" not in found:
        return workdir.resolve().name, ""
    train = found["train"]
    lead = (
        f"A diffusion model of {train['num_parameters']:,} parameters, trained on "
        f"{train['num_images']:,} images of {len(train['class_names'])} classes in "
        f"{train['step']:,} steps"
    )
    return workdir.resolve().name, f"{lead}, and what its images are worth to a classifier."


def build_sections(workdir: pathlib.Path, found: Mapping[str, Fields]) -> Iterator[report.Section]:
    figures = rundir.figures(workdir)
    known: dict[str, tuple[Sequence[str], Callable[..., Items]]] = {
        "In short": ((), in_short),
        "Samples": (("sample",), samples),
        "From noise to images": (("sample",), process),
        "What it is worth to a classifier": (("classify",), findings.arms),
        "Worth by number of real images": (("worth",), findings.worth),
        "How far from real images": (("evaluate",), findings.distances),
        "Solvers, steps and guidance": (("sweep",), findings.sweep),
        "Does it copy?": (("evaluate",), findings.copies),
        "Likelihood": (("evaluate",), findings.likelihood),
        "Training": (("train",), training),
        "Side by side with other runs": (("runs",), runs),
        "How every number was made": ((), provenance),
    }
    for title, (needs, build) in known.items():
        if all(stage in found for stage in needs):
            items = build(figures, found)
            if items:
                yield report.Section(title, items)


def in_short(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    items: Items = []
    evaluation = found.get("evaluate", {})
    if evaluation.get("memorization", {}).get("copies"):
        items.append(
            report.Prose(
                "The model copies its training images: its samples come nearer to them than new real "
                "images do. See below, and do not take its numbers for those of new images.",
                "warning",
            )
        )
    for stage, what in (("compare", "Accuracy on real test images, trained on "), ("worth", "")):
        if stage in found:
            items.append(report.Prose(tidy(what + found[stage]["sentence"]) + ".", "highlight"))
    if evaluation:
        items.append(report.Prose(distance_sentence(evaluation)))
    missing = [stage for stage in rundir.CHAIN if stage not in (*found, "compare", "report")]
    if "export" in found and found["export"]["class_counts"] is None:
        text = "The model is unconditional: its images have no labels to train a classifier on."
        items.append(report.Prose(text))
        missing = [stage for stage in missing if stage != "classify"]
    if missing:
        modes = ", ".join(f"--mode={stage}" for stage in missing)
        items.append(report.Prose(f"Not made yet: {modes}, with this --workdir."))
    return items


def tidy(text: str) -> str:
    return text.replace(" +- ", " ± ")


def distance_sentence(evaluation: Fields) -> str:
    name, distance = findings.distance_of(evaluation)
    return (
        f"{name} of {evaluation['n']:,} synthetic images to the {evaluation['n_reference']:,} of the "
        f"{evaluation['reference']}: {distance['value']:.3g}; of {evaluation['n_floor']:,} real "
        f"{evaluation['floor_of']} images: {distance['floor']:.3g}, which is the floor."
        + (
            ""
            if name.startswith("FID")
            else " These features are not Inception's: this is not an FID."
        )
    )


def samples(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    sampling = found["sample"]["sampling"]
    text = (
        f"Drawn from the averaged weights of step {found['sample']['checkpoint']:,} in "
        f"{sampling['num_steps']} steps of {sampling['solver']}, guidance scale "
        f"{sampling['guidance_scale']:g}; not selected."
    )
    return [
        report.Prose(text),
        *findings.picture(
            figures / "classes.png", "A grid of synthetic images, one row for each class"
        ),
    ]


def process(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    return [
        *findings.picture(
            figures / "reverse.png",
            "Noise turning into images from left to right, and the estimate of the image at each step",
            "Sampling: the noisy image, and below it what the network takes the image to be.",
        ),
        *findings.pictures(
            (figures / "reverse.gif", "Animation of one image of each class out of noise", "As it goes."),
            (figures / "forward.png", "Real images turning into noise from left to right",
             "The way the network was trained to undo."),
            (figures / "progress.gif", "Animation of samples from the same noise over the training",
             "The same noise as the training went on."),
        ),
    ]  # fmt: skip


def training(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    train, items = found["train"], []
    lines = metrics.read(figures.parent / "metrics.jsonl")
    names = [n for n in ("loss", "validation_loss") if any(n in line for line in lines)]
    if names:
        plots.save(figures / "loss.png", plots.history(lines, names, title="Loss"))
    planned = found.get("plan", {}).get("stages")  # none where it was found not to fit
    items.append(
        report.Values(
            {
                "images": f"{train['num_images']:,} in {len(train['class_names'])} classes",
                "parameters": f"{train['num_parameters']:,}",
                "steps": f"{train['step']:,}",
                "time": f"{train['seconds']:,.0f} s, {train['images_per_second']:,.0f} images/s",
                "on": f"{train['num_devices']} x {train['platform']}",
                "validation loss": f"{train['validation_loss']:.4f} at the end; best at step "
                f"{train['best_step']:,}",
            }
            | ({"planned time": f"{planned['train']['seconds']:,.0f} s"} if planned else {})
        )
    )
    last = sorted((figures / "samples").glob("*.png"))[-1:]
    return [
        *items,
        *findings.pictures(
            (figures / "loss.png", "Training and validation loss over the steps", ""),
            *((path, "Samples during training", f"At step {int(path.stem):,}.") for path in last),
        ),
    ]


def runs(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    fields = found["runs"]
    return [
        report.Table(fields["columns"], fields["rows"], fields["caption"]),
        *findings.picture(figures / "runs.png", "Accuracy of each run with its interval"),
        *findings.picture(
            figures / "runs-samples.png", "Synthetic images of each run, one row for each class"
        ),
    ]


def provenance(figures: pathlib.Path, found: Mapping[str, Fields]) -> Items:
    """Per stage the command, seed, digests and versions; and the whole config."""
    items: Items = []
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
        items.append(report.Values(kept, f"--mode={stage}"))
    path = figures.parent / "config.json"
    if path.exists():
        made = rundir.read_json(path)
        config = {section: json.dumps(value) for section, value in made["config"].items()} | {
            "git revision": str(made["git_revision"])
        }
        items.append(report.Values(config, "The whole config"))
    return items
