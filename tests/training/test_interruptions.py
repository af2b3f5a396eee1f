"""A run that is broken off, in whatever way, ends as one that never was: real processes, real kills."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import pytest

from ddpm_jax.training import signals

PROGRAM = pathlib.Path(__file__).parent / "train_program.py"
NUM_STEPS = 30
OF_A_PROGRAM = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # a program keeps its small compiled programs too
}


def start(folder, seconds_a_step=0.01, **environment):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), str(NUM_STEPS), str(seconds_a_step)],
        env=os.environ | OF_A_PROGRAM | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    text, _ = process.communicate(timeout=120)
    return process.returncode, text


def interrupted_at(process, step, number):
    """The signal is sent when the program says that it has done `step`."""
    for line in process.stdout:
        if line == f"step {step}\n":
            process.send_signal(number)
            break
    return finish(process)


def outcome(folder):
    result = json.loads((folder / "result.json").read_text())
    return result, (folder / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, text = finish(start(folder, seconds_a_step=0.0))
    assert code == 0, text
    return outcome(folder)


def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path, undisturbed):
    step = random.randrange(1, NUM_STEPS)
    code, text = interrupted_at(start(tmp_path), step, signal.SIGKILL)
    assert code == -signal.SIGKILL, text
    code, text = finish(start(tmp_path))
    assert code == 0, f"killed at step {step}: {text}"
    assert outcome(tmp_path) == undisturbed, f"killed at step {step}"


def test_a_run_told_to_stop_saves_says_so_and_resumes(tmp_path, undisturbed):
    code, text = interrupted_at(start(tmp_path), 10, signal.SIGTERM)
    assert code == signals.STOPPED == 75, text
    assert "stopped by SIGTERM after step" in text
    code, text = finish(start(tmp_path))
    assert code == 0, text
    # It resumed where it stopped, which is no multiple of the steps between two saves.
    assert "step 7\n" not in text
    assert outcome(tmp_path) == undisturbed


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_the_same(tmp_path, undisturbed, record_property):
    rng = random.Random()
    runs = int(os.environ.get("DDPM_JAX_KILLS", "20")) // 2
    same = 0
    for attempt in range(runs):
        folder = tmp_path / str(attempt)
        # Twice each: the second time it is on its way back from the first.
        for _ in range(2):
            process = start(folder)
            try:
                process.wait(rng.uniform(0.0, 5.0))
            except subprocess.TimeoutExpired:
                process.kill()
            finish(process)
        code, text = finish(start(folder))
        assert code == 0, text
        same += outcome(folder) == undisturbed
    record_property(
        "counted", f"{same} of {runs} runs, killed twice each, ended with the same bits"
    )
    assert same == runs
