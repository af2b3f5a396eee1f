"""launch/slurm.sbatch without SLURM; tests/jobs/test_slurm.py has a real one.

`srun` is replaced by a script that runs the tasks one after the other and reports the highest status,
as the manual page says of the real one, and `scontrol` by one that takes notes.
"""

import os
import pathlib
import re
import signal
import subprocess

import pytest

from ddpm_jax.training import signals

SCRIPT = pathlib.Path(__file__).parents[1] / "launch" / "slurm.sbatch"
SRUN = """#!/bin/bash
echo "$*" > options
while [ "${1#--}" != "$1" ]; do shift; done
highest=0
for SLURM_PROCID in 0 1; do
    export SLURM_PROCID
    "$@"
    status=$?
    [ "$status" -gt "$highest" ] && highest=$status
done
exit "$highest"
"""
PYTHON = """#!/bin/bash
printf '%s\\n' "$@" "${JAX_LOCAL_DEVICE_IDS-unset}" > "arguments.$SLURM_PROCID"
exit "${STATUSES[$SLURM_PROCID]}"
"""
SCONTROL = '#!/bin/bash\necho "$*" >> asked\n'


def submitted(folder, statuses, **variables):
    """The script where its two tasks end with `statuses`: its own status, and what it asked of SLURM."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    program = PYTHON.replace("exit", f"STATUSES=({statuses[0]} {statuses[1]})\nexit")
    for path, text in (
        (folder / "srun", SRUN),
        (folder / "scontrol", SCONTROL),
        (python, program),
    ):
        path.write_text(text)
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), "--config=configs/digits.py", "--workdir=a folder"],
        env=os.environ
        | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_ID": "4711",
            "SLURM_CPUS_PER_TASK": "3",
        }
        | variables,
    )
    asked = folder / "asked"
    return done.returncode, asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        ((0, 0), 0),
        ((signals.STOPPED, signals.STOPPED), signals.STOPPED),
        ((0, signals.STOPPED), signals.STOPPED),
        ((2, signals.STOPPED), 102),
        ((signals.STOPPED, 1), 101),
        ((2, 0), 102),
        ((134, signals.STOPPED), 134),
        ((127, 127), 127),
    ],
)
def test_a_job_is_requeued_if_and_only_if_a_task_was_stopped_and_none_failed(
    tmp_path, statuses, wanted
):
    code, asked = submitted(tmp_path, statuses)
    assert code == wanted
    assert asked == ["requeue 4711"] * (wanted == signals.STOPPED)


def test_tasks_get_the_arguments_as_they_are_and_the_processors_that_were_asked_for(tmp_path):
    submitted(tmp_path, (0, 0))
    arguments = (tmp_path / "arguments.1").read_text().splitlines()
    assert arguments[:3] == ["-m", "ddpm_jax.main", "--distributed"]
    assert arguments[3:5] == ["--config=configs/digits.py", "--workdir=a folder"]
    assert "--cpus-per-task=3 " in (tmp_path / "options").read_text()


@pytest.mark.parametrize(
    ("gpus", "ids"), [("0", "unset"), ("1", "0"), ("2", "0,1"), ("a100:2", "0,1")]
)
def test_a_task_takes_the_gpus_that_it_sees(tmp_path, monkeypatch, gpus, ids):
    monkeypatch.delenv("JAX_LOCAL_DEVICE_IDS", raising=False)
    submitted(tmp_path, (0, 0), SLURM_GPUS_PER_TASK=gpus)
    assert (tmp_path / "arguments.1").read_text().splitlines()[-1] == ids


def test_the_signal_before_the_end_of_the_time_is_one_that_is_caught():
    [name] = re.findall(r"^#SBATCH --signal=(\w+)@\d+$", SCRIPT.read_text(), re.MULTILINE)
    assert signal.Signals[f"SIG{name}"] in signals.CAUGHT
