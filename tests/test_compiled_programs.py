"""Compiled programs are kept for the next launch, by several processes at once, without a word."""

import os
import pathlib
import subprocess
import sys

import pytest

from ddpm_jax import command_line

ROOT = pathlib.Path(__file__).parents[1]
PROGRAM = """
from ddpm_jax import command_line
command_line.keep_compiled_programs()
import jax
print(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((8, 8))))
"""


def start(home, **variables):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=inherited | {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(home):
    found = sorted((home / "ddpm_jax/compiled").glob("*-cache"))
    return {path.name: path.read_bytes() for path in found}


def test_several_processes_keep_one_copy_and_the_next_one_adds_none(tmp_path):
    for process in [start(tmp_path) for _ in range(2)]:
        assert process.communicate() == ("512.0\n", "")
    programs = kept(tmp_path)
    assert programs
    assert (tmp_path / "ddpm_jax/compiled").stat().st_mode & 0o077 == 0
    assert start(tmp_path).communicate() == ("512.0\n", "")
    assert kept(tmp_path) == programs


@pytest.mark.slow
def test_jaxs_own_variables_move_the_programs_or_keep_none(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(elsewhere)).communicate()
    assert list(elsewhere.glob("*-cache")) and not kept(tmp_path)
    start(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0").communicate()
    assert not kept(tmp_path)


@pytest.mark.slow
def test_a_program_cut_short_by_a_kill_is_compiled_again(tmp_path):
    start(tmp_path).communicate()
    for name, content in kept(tmp_path).items():
        (tmp_path / "ddpm_jax/compiled" / name).write_bytes(content[: len(content) // 2])
    process = start(tmp_path)
    assert process.communicate()[0] == "512.0\n" and process.returncode == 0


@pytest.mark.slow
def test_a_home_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    assert start(tmp_path / "file").communicate() == ("512.0\n", "")


def test_the_oldest_programs_go_when_there_are_too_many(tmp_path):
    for number in range(4):
        path = tmp_path / f"{number}-cache"
        path.write_bytes(bytes(10))
        os.utime(path, (number, number))
    command_line.drop_oldest(tmp_path, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-cache", "3-cache"]
