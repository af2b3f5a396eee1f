"""Bring the results and the pictures of a finished run into the docs.

    python launch/docs_results.py runs/digits

Writes docs/results/NAME_MODE.json for each stage in KEPT that the run has, NAME being the run's folder
(digits_own.json of runs/digits_own).
tests/test_figures.py compares the docs with them. After a chain, the pictures of PICTURES as well.
"""

import json
import pathlib
import platform
import re
import shutil
import sys

import numpy as np

from ddpm_jax import config_files, rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import division, npz, source
from ddpm_jax.viz import pictures

DOCS = pathlib.Path(__file__).parents[1] / "docs"
KEPT = {
    "classify": ("arms", "tested_on", "n_test", "test_sha256"),
    "worth": ("points", "sentence", "seeds", "num_real", "num_synthetic", "tested_on", "n_test"),
    "own": (
        "sizes", "sentence", "num_sets", "classifiers_per_set", "num_steps", "tested_on", "n_test",
        "seed",
    ),
}  # fmt: skip
"""Fields of each stage; besides, `command`, `versions` and `seconds`."""
PICTURES = {"digits": ("classes", "reverse", "arms"), "own_emoji": ("classes",)}
"""Of each run, by the name of its folder; docs/images/NAME_PICTURE.png."""


def processor() -> str:
    """As Linux names it."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def kept(workdir: pathlib.Path, mode: str) -> dict[str, object]:
    found = rundir.result(workdir, mode)
    fields = {name: found[name] for name in (*KEPT[mode], "versions", "seconds")}
    fields["command"] = re.sub(r" --workdir=\S+", "", found["command"])
    for arm in fields.get("arms", {}).values():
        arm.pop("confusion")
    if mode == "classify" and rundir.result_path(workdir, "budget").exists():
        fields["budget"] = budget(workdir)
    return fields | {"processor": processor()}


def budget(workdir: pathlib.Path) -> dict[str, object]:
    """What was promised, and the seconds from the first measurement to the page."""
    path = rundir.result_path(workdir, "budget")
    found = rundir.read_json(path)
    began = path.stat().st_mtime - found["planning_seconds"]
    return {name: found[name] for name in ("minutes", "promised_seconds", "shown", "made_from")} | {
        "taken_seconds": round((workdir / "report.html").stat().st_mtime - began, 1)
    }


def real_beside_synthetic(workdir: pathlib.Path) -> pictures.Picture:
    """One training image of each class, drawn by the seed, and the first synthetic one."""
    config = config_files.get_config("digits")
    train = datasets.build_splits(config.data, config.seed).train
    made = npz.load(rundir.synthetic(workdir))
    first = [list(made.labels).index(label) for label in range(10)]
    rows = (division.in_turn(train, 10, config.seed), source.take(made, first))
    images = np.concatenate([source.decode(row) for row in rows])
    return pictures.grid(images, 10, row_labels=("real", "synthetic"))


def main(workdir: pathlib.Path) -> None:
    (DOCS / "results").mkdir(exist_ok=True)
    modes = [mode for mode in KEPT if rundir.result_path(workdir, mode).exists()]
    for mode in modes:
        text = json.dumps(kept(workdir, mode), indent=1) + "\n"
        name = workdir.name.removesuffix(f"_{mode}")
        (DOCS / f"results/{name}_{mode}.json").write_text(text)
    if "classify" not in modes:
        return
    for name in PICTURES.get(workdir.name, ()):
        shutil.copy(
            rundir.figures(workdir) / f"{name}.png", DOCS / f"images/{workdir.name}_{name}.png"
        )
    if workdir.name == "digits":
        pictures.save(DOCS / "images/digits_beside.png", real_beside_synthetic(workdir))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
