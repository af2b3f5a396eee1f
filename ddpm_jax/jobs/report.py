"""--mode=report: all results of a run on one page, `report.html`.

Shows the stages that have run; names each stage that has not, with the command that runs it.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import metrics, run_files, rundir, whole_file
from ddpm_jax.models import checkpoint_choice
from ddpm_jax.reporting import accuracies, answer, page
from ddpm_jax.reporting.items import Fields
from ddpm_jax.reporting.page import heading
from ddpm_jax.training import devices
from ddpm_jax.viz import plots, report

SHOWN = (*rundir.CHAIN, "worth", "own", "sweep", "runs", "plan")


def run(
    config: ConfigDict, workdir: pathlib.Path, synthetic: pathlib.Path | None = None
) -> dict[str, Any]:
    """Always write the page again: it takes a second, and depends on everything.

    synthetic: the images that the page is about, if they are not the run's own.
    """
    found = {
        stage: rundir.read_json(rundir.result_path(workdir, stage))
        for stage in SHOWN
        if rundir.result_path(workdir, stage).exists()
    }
    if not found:
        raise FileNotFoundError(f"{workdir / 'results'} holds no results; run --mode=all first")
    files = run_files.open_for("report", config, workdir, synthetic or rundir.synthetic(workdir))
    for stage, why in left_out(found, run_files.digest_of(run_files.SYNTHETIC, files)).items():
        print(f"[report] left out: results/{stage}.json {why}", flush=True)
        del found[stage]
    path = workdir / "report.html"
    if devices.is_writer():
        if text := answer.sentence(found):
            print(f"[report] {answer.QUESTION} {text}")
        title, lead = heading(workdir, found)
        sections = list(build_sections(workdir, found))
        with whole_file.replacing(path) as temporary:
            report.write(temporary, title, sections, lead=lead)
        print(f"[report] {path}", flush=True)
    return {"path": str(path)}


def left_out(found: Mapping[str, Fields], digest: str | None) -> dict[str, str]:
    """Stage -> why its result does not go with the others; `digest` is that of the synthetic set, if any."""
    left = {
        stage: f"is of other synthetic images; run --mode={stage}"
        for stage, fields in found.items()
        if run_files.of_another_set(fields, digest)
    }
    if "distance" not in found.get("evaluate", {"distance": ""}):
        left["evaluate"] = "is an earlier version's; run --mode=evaluate"
    if "real" not in found.get("classify", {"arms": ("real",)})["arms"]:
        left["classify"] = "has no arm 'real' to compare with (classifier.arms)"
    return left


def build_sections(workdir: pathlib.Path, found: Mapping[str, Fields]) -> Iterator[report.Section]:
    figures, config = rundir.figures(workdir), workdir / "config.json"
    if "train" in found:
        draw_loss(workdir)
    arms = found.get("classify", {}).get("arms")
    if arms and arms != found.get("compare", {}).get("arms"):  # its pictures are older
        accuracies.draw(figures, found["classify"])
    made_with = rundir.read_json(config) if config.exists() else None
    imported = checkpoint_choice.imported_from(workdir)
    others = (*found, "compare", "report", *["train"][: bool(imported)])
    missing = [stage for stage in rundir.CHAIN if stage not in others]
    if made_with is None:  # images of another program: there is no model to train and to draw from
        missing = []
    return page.build_sections(figures, found, missing, made_with)


def draw_loss(workdir: pathlib.Path) -> None:
    lines = metrics.read(workdir / "metrics.jsonl")
    names = [n for n in ("loss", "validation_loss") if any(n in line for line in lines)]
    if names:
        path = rundir.figures(workdir) / "loss.png"
        plots.save(path, plots.history(lines, names, title="Loss"))
