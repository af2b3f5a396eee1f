"""--mode=plan: what a run will take, before it begins: memory, time to the end of each stage, disk.

Compiles the programs of the run and times a few of their steps. Exits with status 2 if the run will
not fit, and says what would.
"""

import pathlib
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import training, training_fields
from ddpm_jax.planning import durations, fits, requirements
from ddpm_jax.reporting import plans
from ddpm_jax.training import devices, footprint, state


def run(
    config: ConfigDict, workdir: pathlib.Path, memory_limit: int | None = None
) -> dict[str, Any]:
    """`memory_limit`: bytes of each device, instead of the memory it has.

    Raises ValueError if the run does not fit, after printing and writing everything else.
    """
    if devices.num_processes() > 1:
        raise ValueError(
            f"--mode=plan times programs of one process, not of {devices.num_processes()} together; run "
            "it in one, with that process's share of training.batch_size and sampling.batch_size"
        )
    training_fields.check_kept(config)
    run_files.check_model(config, workdir)
    print(f"[plan] {workdir}", flush=True)
    fields = plan(config, workdir, memory_limit)
    print(
        "\n".join(plans.describe(fields, config.sampling.num_steps, config.sampling.solver)),
        flush=True,
    )
    fields |= {"seed": config.seed, "command": rundir.command(), "versions": rundir.versions()}
    rundir.write_json(rundir.result_path(workdir, "plan"), fields)
    if fields["shortage"]:
        raise ValueError(fields["shortage"])
    return fields


def plan(config: ConfigDict, workdir: pathlib.Path, memory_limit: int | None) -> dict[str, Any]:
    """The fields of `results/plan.json`. Times nothing if something does not fit."""
    parts = training.build_parts(config)
    training.warn(config, parts.programs.table)
    sizes = requirements.sizes(config, parts.splits)
    programs = durations.compile_all(config, parts, sizes)
    memory = requirements.training_memory(parts.state, programs.step.takes, programs.grid.takes)
    memory["export"] = programs.batch.takes.total
    limit = memory_limit or footprint.capacity(parts.placement, footprint.num_bytes(parts.state))
    num_devices = parts.placement.num_devices
    fields: dict[str, Any] = {
        "num_parameters": state.count_parameters(parts.state.params),
        "num_devices": num_devices,
        "platform": parts.placement.platform,
        "gflop_training_image": training.gflop_an_image(
            config, parts.placement, programs.step.takes
        ),
        "gflop_solver_step_image": programs.batch.takes.gflop * num_devices / sizes.export_at_once,
        "memory": memory | {"limit": limit},
        "shortage": fits.shortage(config, parts, sizes, memory, limit),
        "compile_seconds": sum({id(one): one.seconds for one in programs}.values()),
    }
    if fields["shortage"] is None:
        fields |= durations.timed(config, workdir, parts, sizes, programs)
    return fields | {
        "disk": requirements.disk(config, workdir, parts, sizes, fields.get("num_features"))
    }
