"""What each part of the recipe for small sets gives: configs/studies/digits_levers.py, once a lever.

    python -m launch.small_set_levers

The images are the digits that are no test images of configs/studies/digits_own.py, so they may choose its
recipe. Writes docs/results/digits_levers/LEVER.json; a lever that has a file is not measured again.
"""

import json
import os
import pathlib
import subprocess
import sys

from ddpm_jax import config_files
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
from launch import docs_results

IMAGES = pathlib.Path("runs/development_digits.npz")
RUNS = pathlib.Path("runs/digits_levers")
KEPT = docs_results.DOCS / "results/digits_levers"

CONDITION = "--config.net.augment_condition=True"
HALF = "--config.classifier.synthetic_share=0.5"
JUDGED = "--config.own.synthetic_arms=('real+synthetic, real augmented',)"
THREE_ARMS = (
    "--config.own.synthetic_arms="
    "('real+synthetic','real+synthetic, augmented','real+synthetic, real augmented')"
)
QUICK = (
    CONDITION,
    JUDGED,
    "--config.sampling.solver=dpm_solver_pp_2m",
    "--config.sampling.num_steps=10",
)
HALFWAY = (*QUICK, "--config.sampling.checkpoint=500")
SHORT = (*QUICK, HALF, "--config.training.num_steps=500")
START = "--config.export.start=0.6"
LEVERS = {
    "condition": ("condition", (CONDITION, HALF)),
    "guidance2": (
        "condition",
        (CONDITION, HALF, THREE_ARMS, "--config.sampling.guidance_scale=2.0"),
    ),
    "start0.6": ("condition", (*QUICK, HALF, START)),
    "step500": ("condition", (*HALFWAY, HALF)),
    "step500-share0.75": ("condition", (*HALFWAY, "--config.classifier.synthetic_share=0.75")),
    "step500-rate0.004": ("condition", (*HALFWAY, HALF, "--config.classifier.learning_rate=0.004")),
    "steps500": ("steps500", SHORT),
    "steps500-start0.6": ("steps500", (*SHORT, START)),
}
"""The folder of the generators, which levers of the sampling and of the classifiers share, and the flags."""


def write_images() -> None:
    config = config_files.get_config("studies/digits_own")
    splits = datasets.build_splits(config.data, config.seed)
    chosen = source.join(splits.train, splits.validation)
    IMAGES.parent.mkdir(exist_ok=True)
    npz.save(IMAGES, source.decode(chosen), chosen.labels, chosen.class_names, meta={})


def run(folder: str, flags: tuple[str, ...]) -> pathlib.Path:
    """The work directory of a finished study. Each core has a process, which shares the small sets."""
    workdir = RUNS / folder
    command = [sys.executable, "-m", "ddpm_jax.main", "--config=configs/studies/digits_levers.py"]
    command += ["--mode=own", f"--workdir={workdir}", *flags]
    cores = sorted(os.sched_getaffinity(0))
    started = [subprocess.Popen(["taskset", "-c", str(core), *command]) for core in cores]
    if any([process.wait() for process in started]):
        raise SystemExit(f"{folder} failed")
    return workdir


def main() -> None:
    for name, (folder, flags) in LEVERS.items():
        kept = KEPT / f"{name}.json"
        if kept.exists():
            continue
        if not IMAGES.exists():
            write_images()
        fields = docs_results.kept(run(folder, flags), "own")
        kept.write_text(json.dumps(fields, indent=1) + "\n")


if __name__ == "__main__":
    main()
