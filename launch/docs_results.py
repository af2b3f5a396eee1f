"""Bring the results and the pictures of a finished run on digits into the docs.

    python launch/docs_results.py runs/digits

Writes docs/results/digits.json, which tests/test_figures.py compares with the README, and
docs/images/digits_*.png.
"""

import json
import pathlib
import platform
import shutil
import sys

import numpy as np

from ddpm_jax import config_files, rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import division, npz, source
from ddpm_jax.viz import pictures

DOCS = pathlib.Path(__file__).parents[1] / "docs"
KEPT = ("arms", "command", "versions", "seconds", "tested_on", "n_test", "test_sha256")


def processor() -> str:
    """As Linux names it."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


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
    found = rundir.result(workdir, "classify")
    kept = {name: found[name] for name in KEPT} | {"processor": processor()}
    for arm in kept["arms"].values():
        arm.pop("confusion")
    (DOCS / "results").mkdir(exist_ok=True)
    (DOCS / "results/digits.json").write_text(json.dumps(kept, indent=1) + "\n")
    for name in ("classes", "reverse", "arms"):
        shutil.copy(rundir.figures(workdir) / f"{name}.png", DOCS / f"images/digits_{name}.png")
    pictures.save(DOCS / "images/digits_beside.png", real_beside_synthetic(workdir))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
