"""Results as JSON: what is missing, broken or no JSON is said."""

import shlex
import subprocess
import sys

import pytest

from ddpm_jax import rundir


def test_a_missing_result_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="--mode=train"):
        rundir.result(tmp_path, "train")


def test_a_broken_result_file_is_named(tmp_path):
    rundir.result_path(tmp_path, "train").parent.mkdir()
    rundir.result_path(tmp_path, "train").write_text("{")
    with pytest.raises(ValueError, match=r"train\.json is not valid JSON"):
        rundir.result(tmp_path, "train")


def test_what_json_has_no_form_for_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="object"):
        rundir.write_json(tmp_path / "x.json", {"x": object()})


def test_a_command_that_is_kept_can_be_typed_again(monkeypatch):
    arguments = ["--mode=own", "--config.own.sizes=(10,)", "--config.data.classes=('a b',)"]
    monkeypatch.setattr(sys, "argv", ["program.py", *arguments])
    assert shlex.split(rundir.command())[-3:] == arguments
    assert "'--config.own.sizes=(10,)'" in rundir.command()  # a shell would end at the parenthesis


def test_the_revision_is_that_of_this_programs_checkout_only(tmp_path, monkeypatch):
    """An installed program lies in the `.venv` of another project, often within its repository."""

    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    installed = tmp_path / ".venv" / "rundir.py"
    installed.parent.mkdir()
    installed.write_text("")
    (tmp_path / ".gitignore").write_text(".venv/")
    git("add", ".gitignore")
    git("commit", "-q", "-m", "theirs")
    monkeypatch.setattr(rundir, "__file__", str(installed))
    assert rundir.git_revision() is None
    git("add", "-f", ".venv/rundir.py")
    assert len(rundir.git_revision().partition("-")[0]) == 40
