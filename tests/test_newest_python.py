"""Which Python `.ci/run` takes for the newest versions."""

import importlib.util
import pathlib
import sys

import pytest

PATH = pathlib.Path(__file__).parents[1] / "launch/newest_python.py"


@pytest.fixture
def newest_python(monkeypatch, tmp_path):
    """The script as a module, on a machine where pyenv and PATH have nothing yet."""
    spec = importlib.util.spec_from_file_location("newest_python", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "pyproject", lambda: named("3.11", "3.12", "3.13"))
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    return module


def named(*versions):
    return "\n".join(f'"Programming Language :: Python :: {version}",' for version in versions)


def install(path, says):
    """A program in the place of a Python, that prints its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)
    return path


def test_nothing_is_printed_where_there_is_one_python(newest_python, tmp_path, capsys):
    install(tmp_path / "pyenv/versions/3.11.7/bin/python", "3 11")
    newest_python.main()
    assert capsys.readouterr().out == ""


def test_the_newest_of_the_versions_that_pyproject_names(newest_python, tmp_path, capsys):
    versions = tmp_path / "pyenv/versions"
    for name in ("3.9.18", "3.12.1", "3.12.10", "3.12.2", "3.15.0"):
        install(versions / name / "bin/python", name.replace(".", " ", 1).rpartition(".")[0])
    newest_python.main()
    assert capsys.readouterr().out == f"{versions}/3.12.10/bin/python\n"


def test_one_on_path_that_runs_counts_and_a_shim_that_does_not_is_passed_over(
    newest_python, tmp_path, capsys
):
    install(tmp_path / "bin/python3.13", "no such version >&2; exit 127")
    python = install(tmp_path / "bin/python3.12", "3 12")
    newest_python.main()
    assert capsys.readouterr().out == f"{python}\n"
