"""launch/slurm.sbatch under a real SLURM: two tasks on one node, stopped, killed and cancelled."""

import json
import os
import shlex
import signal
import sys
import time

import pytest
from one_node_slurm import cluster, why_not
from tiny_run import ROOT, command, environment

from ddpm_jax import metrics

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

STEPS = {
    "training.num_steps": 160,
    "training.log_every": 5,
    "training.save_every": 80,
    "training.eval_every": 160,
    "training.sample_every": 1000,
}
FOR_A_RUN = 300
"""Seconds, with compiling, on a machine that is busy."""
WAIT = 60
"""srun's --wait in the script."""

# In place of Python: what the two tasks do. A second start ends well. A task that is being stopped
# does not survive a second signal.
PROGRAM = """#!/bin/bash
[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && exit 0
trap 'trap - TERM; for i in $(seq $((15 * SLURM_PROCID))); do sleep 0.2; done; exit 75' TERM
case "${@: -1}.$SLURM_PROCID" in
    fails.0 | stuck.0) exit 75 ;;
    fails.1) exit 2 ;;
    killed.1) kill -KILL $$ ;;
esac
touch "$SLURM_JOB_ID.$SLURM_PROCID"
while :; do sleep 0.2; done
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    with cluster(folder) as running:
        yield running


def submit_dir(folder, program):
    """A folder whose `.venv/bin/python` is `program`."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(program)
    python.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def jobs(slurm, tmp_path_factory):
    """Numbers by name, of programs that do nothing; all run at once, as some take a minute."""
    folder = submit_dir(tmp_path_factory.mktemp("jobs"), PROGRAM)
    names = ("asked", "cancelled", "batch", "fails", "stuck", "killed")
    numbers = {name: slurm.submit(folder, name) for name in names}
    numbers["limit"] = slurm.submit(folder, "limit", time_limit="1")
    end = time.monotonic() + 60
    for name in ("asked", "cancelled", "batch"):
        while not all((folder / f"{numbers[name]}.{task}").exists() for task in (0, 1)):
            assert time.monotonic() < end
            time.sleep(0.2)
    slurm.command("scancel", "--signal=TERM", numbers["asked"])
    slurm.command("scancel", numbers["cancelled"])
    slurm.command("scancel", "--batch", "--signal=TERM", numbers["batch"])
    return numbers


def has_ended(job):
    return job.state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


def last_step(workdir):
    return max((line["step"] for line in metrics.read(workdir / "metrics.jsonl")), default=0)


def train(slurm, folder, workdir):
    flags = [f"--config.{name}={value}" for name, value in STEPS.items()]
    arguments = command("--mode=train", *flags, f"--workdir={workdir}")[3:]
    ours = slurm.environment | environment(1)
    return slurm._replace(environment=ours).submit(folder, *arguments)


def in_the_middle(slurm, number, workdir, restarts):
    """Wait until this start of the job has trained for ten steps and more."""
    job = slurm.wait(number, lambda job: job.restarts == restarts or has_ended(job), FOR_A_RUN)
    goal, end = last_step(workdir) + 10, time.monotonic() + FOR_A_RUN
    while last_step(workdir) < goal:
        assert time.monotonic() < end and not has_ended(job := slurm.job(number)), job
        time.sleep(0.05)


def sums(workdir):
    result = json.loads((workdir / "results" / "train.json").read_text())
    return result["params_sha256"], result["ema_sha256"]


@pytest.mark.long
def test_a_training_that_is_stopped_and_then_killed_ends_in_the_same_bits(slurm, jobs, tmp_path):
    program = f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {sys.executable} "$@"\n'
    folder = submit_dir(tmp_path / "from", program)
    undisturbed = train(slurm, folder, tmp_path / "undisturbed")
    job = slurm.wait(undisturbed, has_ended, FOR_A_RUN)
    assert job == ("COMPLETED", 0, "0:0"), (folder / f"{undisturbed}.txt").read_text()[-3000:]

    workdir = tmp_path / "stopped"
    number = train(slurm, folder, workdir)
    in_the_middle(slurm, number, workdir, restarts=0)
    slurm.command("scancel", "--signal=TERM", number)
    in_the_middle(slurm, number, workdir, restarts=1)
    os.kill(slurm.tasks(number)[1], signal.SIGKILL)
    job = slurm.wait(number, has_ended, FOR_A_RUN)
    assert job == ("FAILED", 1, "137:0"), (folder / f"{number}.txt").read_text()[-3000:]

    again = train(slurm, folder, workdir)
    job = slurm.wait(again, has_ended, FOR_A_RUN)
    assert job == ("COMPLETED", 0, "0:0"), (folder / f"{again}.txt").read_text()[-3000:]
    assert sums(workdir) == sums(tmp_path / "undisturbed")
    assert json.loads((workdir / "results" / "train.json").read_text())["resumed_at"] > 0
    assert slurm.job(number) == ("FAILED", 1, "137:0")  # that it was not requeued later


@pytest.mark.parametrize("name", ["asked", "limit"])
def test_a_job_whose_tasks_stop_one_after_the_other_is_requeued(slurm, jobs, name):
    job = slurm.wait(jobs[name], has_ended, 2 * WAIT)
    assert job == ("COMPLETED", 1, "0:0")


@pytest.mark.parametrize(
    ("name", "state", "exit_code"),
    [
        ("cancelled", "CANCELLED", "0:15"),
        ("batch", "FAILED", "0:15"),
        ("fails", "FAILED", "102:0"),
        ("stuck", "FAILED", "137:0"),
        ("killed", "FAILED", "137:0"),
    ],
)
def test_a_job_that_is_cancelled_or_fails_or_is_stuck_is_not_requeued(
    slurm, jobs, name, state, exit_code
):
    job = slurm.wait(jobs[name], has_ended, 2 * WAIT)
    assert job == (state, 0, exit_code)
