"""The program starts again with the C library's settings, once, with the same words."""

import os
import pathlib
import subprocess
import sys

import pytest

from ddpm_jax import kept_memory

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not kept_memory.on_glibc(), reason="the C library is another")
# Says its process, its words and the settings, each time that it starts.
PROGRAM = """
import os, sys
from ddpm_jax import kept_memory
print(os.getpid(), sys.argv[1:], os.environ.get("GLIBC_TUNABLES"), flush=True)
kept_memory.keep()
print("goes on", os.path.samefile(sys.executable, sys.argv[1]))
"""


def starts(environment, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    others = {name: text for name, text in os.environ.items() if name != "GLIBC_TUNABLES"}
    return subprocess.run(
        [sys.executable, "-W", "error", program, sys.executable, "two words"],
        env=others | environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()


def test_a_program_starts_again_in_its_process_with_the_same_words(tmp_path):
    first, second, end = starts({}, tmp_path)
    assert end == "goes on True"
    assert (
        first.endswith(" None")
        and first.removesuffix(" None") + f" {kept_memory.TUNABLES}" == second
    )
    assert "'two words'" in first


@pytest.mark.parametrize("value", ["", "glibc.malloc.trim_threshold=1000000"])
def test_settings_of_the_user_stay(tmp_path, value):
    only, end = starts({"GLIBC_TUNABLES": value}, tmp_path)
    assert end == "goes on True" and only.endswith(value)


def test_another_c_library_is_left_alone(monkeypatch):
    def none(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "confstr", none)
    monkeypatch.setattr(os, "execv", lambda *words: pytest.fail("started again"))
    kept_memory.keep()
    assert "GLIBC_TUNABLES" not in os.environ


def test_the_script_for_other_programs_sets_the_same():
    assert f":-{kept_memory.TUNABLES}}}" in (ROOT / "launch/environment.sh").read_text()
