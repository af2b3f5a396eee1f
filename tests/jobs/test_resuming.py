"""A run that was killed or asked to end resumes, and ends with the same bits as one left alone."""

import json
import random
import signal
import subprocess
import time

import pytest
from tiny_run import ROOT, command, quick_environment

from ddpm_jax import metrics

STEPS = (
    "--mode=train",
    "--config.training.num_steps=112",
    "--config.training.save_every=11",
    "--config.training.eval_every=28",
    "--config.training.sample_every=1000",
)
STOPPED = 75
SIGNALS = {
    signal.SIGKILL: -signal.SIGKILL,
    signal.SIGTERM: STOPPED,
    signal.SIGINT: STOPPED,
    signal.SIGUSR1: STOPPED,
}
"""With the exit status of each."""


def run_to_the_end(workdir):
    words = command(*STEPS, f"--workdir={workdir}")
    subprocess.run(words, env=quick_environment(), cwd=ROOT, check=True)


def logged(workdir):
    """The last step that `metrics.jsonl` has."""
    return max((line["step"] for line in metrics.read(workdir / "metrics.jsonl")), default=0)


def interrupted_after(workdir, step, number):
    """Start the run, or go on with it; send it a signal when it has logged `step`; its status."""
    step = max(step, logged(workdir) + 1)  # and not what the life before it has logged
    words = command(*STEPS, f"--workdir={workdir}")
    running = subprocess.Popen(words, env=quick_environment(), cwd=ROOT)
    while running.poll() is None:
        if logged(workdir) >= step:
            running.send_signal(number)
            break
        time.sleep(0.002)
    return running.wait()


def newest(workdir):
    """The step of the last checkpoint."""
    return max(
        int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()
    )


def result(workdir):
    return json.loads((workdir / "results/train.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("lives", [2, pytest.param(4, marks=pytest.mark.long)])
def test_the_same_command_resumes_and_ends_with_the_same_bits(tmp_path, lives):
    """Interrupted in two or all four ways. What a life of the run breaks, the last one ends with.

    SIGUSR1 is what `sbatch --signal=USR1@120` sends; what its script does then: test_slurm_script.py.
    """
    left_alone, interrupted = tmp_path / "left alone", tmp_path / "interrupted"
    run_to_the_end(left_alone)
    draw = random.Random(str(tmp_path))
    # Between steps 24 and 32 in the first life, when the checkpoint of step 11 is there, 40 and 48, ...
    for life, number in enumerate(draw.sample(list(SIGNALS), lives)):
        step = 16 * life + draw.randrange(24, 33)
        status = interrupted_after(interrupted, step, number)
        assert status == SIGNALS[number], f"{number.name} after step {step}"
        assert newest(interrupted) >= (step if status == STOPPED else 11), number.name
        assert not (interrupted / "results/train.json").exists()
    run_to_the_end(interrupted)
    assert result(interrupted)["resumed_at"] > 0
    for name in ("params_sha256", "ema_sha256", "validation_loss"):
        assert result(interrupted)[name] == result(left_alone)[name]
    lines = (interrupted / "metrics.jsonl").read_text()
    assert lines == (left_alone / "metrics.jsonl").read_text()
