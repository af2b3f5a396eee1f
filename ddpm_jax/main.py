"""From a dataset to a diffusion model, a synthetic dataset, and what that is worth to a classifier.

    python -m ddpm_jax.main --config=configs/digits.py

runs the whole chain: train, sample, export, evaluate, classify, compare, report. What is done and
unchanged is skipped and what was interrupted is continued, so the same command also resumes a run.
--explain says what would be run, and why. --mode=plan says before it what it will take. Any other --mode
is one stage of the chain, or one of the other things to do with a trained model.

Exit status: 0 done, 2 an error of the input or the machine (one line says which), 75 stopped by a signal,
what is done saved (run the same command to resume).
"""

import importlib
import pathlib
import sys

from absl import flags
from ml_collections import ConfigDict

from ddpm_jax import command_line, rundir
from ddpm_jax.training import signals

RENAMED = {"train_classifier": "train_guide"}
SECTIONS_OF_OTHERS = ("editing", "guide", "own", "publish", "serve", "sweep", "worth")
"""Sections that only modes outside the chain read, unless samples are guided."""

MODE = flags.DEFINE_enum(
    "mode", "all", ["all", *rundir.CHAIN, *rundir.OTHERS, *RENAMED], "What to do."
)
EXPLAIN = flags.DEFINE_bool(
    "explain", False, "Say of each stage whether its result stands, or what changed; run nothing."
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "Join the other processes that SLURM, MPI or Kubernetes started with this one.",
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0; joins the processes without a cluster's help."
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "With --coordinator: how many there are."
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "With --coordinator: which one this is, from 0."
)
RUNS = flags.DEFINE_list(
    "runs", [], "With --mode=compare: finished work directories to put side by side, A,B,C."
)
FROM = flags.DEFINE_string(
    "from",
    None,
    "With --mode=import: a directory in diffusers' format, whose weights become a run.",
)
flags.adopt_module_key_flags(command_line)
flags.mark_flag_as_required("config")


def main() -> int:
    if MODE.value in RENAMED:
        raise ValueError(f"--mode={MODE.value} is now called --mode={RENAMED[MODE.value]}")
    if RUNS.value:
        return compare_runs(command_line.workdir())
    if FROM.value or MODE.value == "import":
        return import_weights()
    with signals.leaving():
        run_modes()
    return 0


def run_modes() -> None:
    from ddpm_jax.assembly import options
    from ddpm_jax.planning import budget

    config, workdir = command_line.config(), command_line.workdir()
    options.check(config, command_line.settings(), MODE.value)
    if MODE.value == "all":
        check_what_follows(config)
    modes = rundir.CHAIN if MODE.value == "all" else [MODE.value]
    if EXPLAIN.value:
        from ddpm_jax import stages

        config = budget.apply(config, workdir, command_line.named(), measures=False)
        print("\n".join(stages.explain(config, workdir, modes)))
        return
    distributed = DISTRIBUTED.value or COORDINATOR.value
    if distributed:
        from ddpm_jax.training import devices

        devices.initialize_distributed(
            COORDINATOR.value,
            NUM_PROCESSES.value,
            PROCESS_ID.value,
            heartbeat_seconds=config.training.heartbeat_seconds,
        )
    measures = MODE.value in ("all", "plan", "train")
    config = budget.apply(config, workdir, command_line.named(), measures=measures)
    for mode in modes:
        job = importlib.import_module(rundir.job(mode))
        try:
            job.run(config, workdir)
        except rundir.Inapplicable as why:
            if MODE.value != "all":
                raise
            print(f"[{mode}] left out: {why}", flush=True)
        if distributed:
            devices.barrier(mode)  # the files that the next mode reads exist
    if MODE.value == "all":
        say_what_was_not_read(workdir)


def check_what_follows(config: ConfigDict) -> None:
    """Refuse before the training, not after it, what later stages of a chain would."""
    from ddpm_jax.assembly import feature_networks
    from ddpm_jax.jobs import classify

    classify.check(config)
    feature_networks.check(config)


def say_what_was_not_read(workdir: pathlib.Path) -> None:
    """Print the fields that were set but never read.

    These are fields of the command line, and fields of the config file that belong to no other mode.
    """
    from ddpm_jax import stages

    asked = [
        name
        for name, flag in command_line.settings().items()
        if not flag or name.partition(".")[0] not in SECTIONS_OF_OTHERS
    ]
    if unread := stages.never_read(workdir, asked):
        print(f"[all] set, and read by no stage: {', '.join(sorted(unread))}", flush=True)


def compare_runs(workdir: pathlib.Path) -> int:
    if MODE.value != "compare":
        raise ValueError(f"--runs goes with --mode=compare, not with --mode={MODE.value}")
    from ddpm_jax.jobs import compare

    compare.several([pathlib.Path(run) for run in RUNS.value], workdir)
    return 0


def import_weights() -> int:
    if MODE.value != "import" or not FROM.value:
        raise ValueError(
            f"--mode={MODE.value}, --from={FROM.value}; wanted --mode=import and --from=DIRECTORY, or neither"
        )
    from ddpm_jax.jobs import import_weights as job

    job.run(command_line.config(), command_line.workdir(), pathlib.Path(FROM.value))
    return 0


def program() -> None:
    """What the console script runs."""
    # Imported weights bring their own config.
    command_line.run(main, "default" if "--mode=import" in sys.argv else None)


if __name__ == "__main__":
    program()
