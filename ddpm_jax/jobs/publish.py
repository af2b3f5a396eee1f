"""--mode=publish: the synthetic set as other programs read it, with a card, in `published/`.

The folder is built beside its place and moved there when it is whole.
"""

import json
import pathlib
import shutil
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, stages
from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import npz, published, source
from ddpm_jax.reporting import card
from ddpm_jax.training import devices

FORMATS = {
    "images": (published.write_images, published.METADATA),
    "parquet": (published.write_parquet, published.TABLE),
}


@stages.stage("publish", "export", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    synthetic = files.synthetic()
    assert synthetic is not None  # if it is missing, `files.synthetic` raises
    write, table = choose("publish.format", config.publish.format, FORMATS)
    made, meta = npz.load(synthetic), npz.load_meta(synthetic)
    labels = made.labels if npz.has_labels(synthetic) else None
    names = made.class_names if labels is not None else None
    results = {mode: read(files, mode) for mode in ("classify", "evaluate", "copies")}
    found = {mode: fields for mode, fields in results.items() if fields is not None}
    name = f"synthetic {meta.get('real', '')}".strip()
    place = rundir.published(files.workdir)
    if devices.is_writer():
        beside = place.with_name(".published.new")
        shutil.rmtree(beside, ignore_errors=True)  # left by a process that was killed
        beside.mkdir(parents=True)
        write(beside, source.decode(made), labels, made.class_names)
        text = card.write(name, len(made.labels), names, meta, found, table)
        (beside / "README.md").write_text(text, encoding="utf-8")
        about = f"{len(made.labels)} images drawn from a diffusion model"
        facts = published.croissant(beside, name, about, labels is not None)
        (beside / "croissant.json").write_text(json.dumps(facts, indent=2))
        move(beside, place)
        print(f"[publish] {len(made.labels):,} images in {place}", flush=True)
    for file in ("README.md", "croissant.json", table):
        files.output(place / file)
    return {"num_images": len(made.labels), "format": config.publish.format, "folder": place.name}


def read(files: run_files.Files, mode: str) -> dict[str, Any] | None:
    """The result of a mode; None if there is none, or if it is of other images than those to be published."""
    path = pathlib.Path(files.read(str(rundir.result_path(files.workdir, mode))))
    found = rundir.read_json(path) if path.exists() else None
    if found and run_files.of_another_set(found, files.notes.files[run_files.SYNTHETIC]):
        print(f"[publish] left out: {path} is of other images; run --mode={mode}", flush=True)
        return None
    return found


def move(beside: pathlib.Path, place: pathlib.Path) -> None:
    """A folder cannot replace another in one step: the old one moves away first."""
    old = place.with_name(".published.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    beside.rename(place)
    shutil.rmtree(old, ignore_errors=True)
