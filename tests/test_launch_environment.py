"""launch/environment.sh, as a program started after it finds it."""

import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks import launch

SCRIPT = pathlib.Path(__file__).parents[1] / "launch" / "environment.sh"
COUNT = "import jax; print(jax.device_count())"


@pytest.mark.parametrize(("asked", "found"), [({}, 2), ({"JAX_NUM_CPU_DEVICES": "3"}, 3)])
def test_a_cpu_of_several_cores_is_two_devices_unless_told_otherwise(asked, found):
    if os.cpu_count() == 1:
        pytest.skip("one core")
    environment = {name: text for name, text in os.environ.items() if "DEVICES" not in name}
    counted = subprocess.run(
        ["sh", "-c", '. "$0"; exec "$1" -c "$2"', str(SCRIPT), sys.executable, COUNT],
        env=environment | {"JAX_PLATFORMS": "cpu"} | asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert int(counted.stdout) == found


def test_the_benchmarks_find_the_environment_that_the_scripts_make(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")
    made = launch.environment()
    assert "glibc.malloc.trim_threshold=" in made["GLIBC_TUNABLES"]
    assert made["JAX_NUM_CPU_DEVICES"] == "3" and made["PATH"] == os.environ["PATH"]
