"""--mode=replay: repeat the step that was not finite; show its images and where it broke."""

import pathlib
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import reproduction
from ddpm_jax.training import devices


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    run_files.check_model(config, workdir)
    found, places = reproduction.find(config, rundir.nonfinite(workdir))
    print(found, flush=True)
    print(f"images of the training split: {', '.join(map(str, places))}", flush=True)
    fields = {**found._asdict(), "places": places, "command": rundir.command()}
    if devices.is_writer():
        rundir.write_json(rundir.result_path(workdir, "replay"), fields)
    return fields
