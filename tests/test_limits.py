"""No test may hang: what tests/conftest.py and pyproject.toml do about it."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np

from ddpm_jax.training import devices

ROOT = pathlib.Path(__file__).parents[1]
WAITS = """
import os, pathlib, subprocess, sys

def test_waits():
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    subprocess.run([sys.executable, "-c", code])

def test_the_next_one_runs():
    pass
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_test_that_waits_for_a_process_is_interrupted_and_the_process_killed(tmp_path):
    (tmp_path / "test_waits.py").write_text(WAITS)
    options = ["-q", "-p", "no:cacheprovider", f"--config-file={ROOT / 'pyproject.toml'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--numprocesses=1", "--timeout=5", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Timeout (>5.0s)" in done.stdout
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_is_compiled_without_optimizations_has_one_device_to_sum_over(compiled_quickly):
    placement = devices.place()
    assert jax.device_count() == 4 and placement.num_devices == 1
    total = jax.jit(lambda x: x.sum(), out_shardings=placement.replicated)
    rows = devices.put_batch(placement, {"x": np.ones((8, 2), np.float32)})["x"]
    assert "all-reduce" not in total.lower(rows).compile().as_text()
    assert devices.place(devices=jax.devices()).num_devices == 4  # who names them gets them
