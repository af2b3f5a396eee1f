"""launch/slurm.sbatch with a scheduler that only takes notes."""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from ddpm_jax.training import signals

SCRIPT = pathlib.Path(__file__).parents[1] / "launch" / "slurm.sbatch"
NOTES = '#!/bin/sh\necho "$(basename "$0") $*" >> "$SLURM_SUBMIT_DIR/notes"\n'


def submitted(folder, status):
    """The script where the program ends with `status`: its own status, and what it asked of SLURM."""
    for name, ending in (("srun", f"exit {status}\n"), ("scontrol", "")):
        (folder / name).write_text(NOTES + ending)
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), "--config=configs/digits.py", "--workdir=a folder"],
        env=os.environ
        | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": "4711",
        },
    )
    return done.returncode, (folder / "notes").read_text().splitlines()


@pytest.mark.parametrize("status", [0, 2, signals.STOPPED, 143])
def test_a_job_is_requeued_if_and_only_if_its_program_was_stopped(tmp_path, status):
    code, notes = submitted(tmp_path, status)
    assert code == status
    assert notes[0].endswith("--distributed --config=configs/digits.py --workdir=a folder")
    assert "-m ddpm_jax.main" in notes[0] and "--kill-on-bad-exit=1" in notes[0]
    assert notes[1:] == ["scontrol requeue 4711"] * (status == signals.STOPPED)


def test_the_signal_before_the_end_of_the_time_is_one_that_is_caught():
    [name] = re.findall(r"^#SBATCH --signal=(\w+)@\d+$", SCRIPT.read_text(), re.MULTILINE)
    assert signal.Signals[f"SIG{name}"] in signals.CAUGHT
