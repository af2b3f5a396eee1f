"""A run that was killed or asked to end resumes, and ends with the same bits as one left alone."""

import json
import random
import signal
import subprocess
import time

import pytest
from tiny_run import ROOT, command, environment

from ddpm_jax import metrics

STEPS = ("--mode=train", "--config.training.num_steps=60", "--config.training.save_every=7")
STOPPED = 75


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(
        command(*STEPS, f"--workdir={workdir}"), env=environment(1), cwd=ROOT, check=True
    )
    return workdir


def interrupted_at_a_random_step(workdir, number):
    """Start a run and send it a signal when it has logged a step chosen at random; its status."""
    after = random.Random(str(workdir)).randrange(8, 50)
    running = subprocess.Popen(
        command(*STEPS, f"--workdir={workdir}"), env=environment(1), cwd=ROOT
    )
    while running.poll() is None:
        if any(line["step"] >= after for line in metrics.read(workdir / "metrics.jsonl")):
            running.send_signal(number)
            break
        time.sleep(0.002)
    return running.wait()


def hashes(workdir):
    found = json.loads((workdir / "results/train.json").read_text())
    return found["params_sha256"], found["ema_sha256"], found["validation_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, STOPPED),
        (signal.SIGINT, STOPPED),
        (signal.SIGUSR1, STOPPED),
    ],
    ids=["killed", "terminated", "interrupted", "told by SLURM"],
)
def test_the_same_command_resumes_and_ends_with_the_same_bits(
    undisturbed, tmp_path, number, status
):
    """SIGUSR1 is what `sbatch --signal=USR1@120` sends; what its script does then: test_slurm_script.py."""
    assert interrupted_at_a_random_step(tmp_path, number) == status
    assert not (tmp_path / "results/train.json").exists()
    subprocess.run(
        command(*STEPS, f"--workdir={tmp_path}"), env=environment(1), cwd=ROOT, check=True
    )
    assert json.loads((tmp_path / "results/train.json").read_text())["resumed_at"] > 0
    assert hashes(tmp_path) == hashes(undisturbed)
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert lines == (undisturbed / "metrics.jsonl").read_text()
