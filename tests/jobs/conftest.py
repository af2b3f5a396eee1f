"""Work directories of a tiny run, made once a session and copied for each test."""

import shutil
import subprocess

import jax
import pytest
from quick import quickly
from tiny_run import ROOT, command, quick_environment, tiny

from ddpm_jax.jobs import classify, compare, evaluate, export, report, sample, train


@pytest.fixture
def config():
    """Tests change fields of it as they need."""
    return tiny()


@pytest.fixture(scope="module", autouse=True)
def _quickly(module_compiled_quickly):
    """What these tests run takes longer to compile than to run."""


@pytest.fixture(scope="session")
def trained_once(made_once):
    def make(workdir):
        with quickly():  # it is made before a module's fixtures
            train.run(tiny(), workdir)

    return made_once("trained", make)


@pytest.fixture(scope="session")
def finished_once(trained_once, made_once):
    def finish(folder):
        workdir = shutil.copytree(trained_once, folder / "run")
        with quickly():
            for job in (sample, export, evaluate, classify, compare, report):
                job.run(tiny(), workdir)

    return made_once("finished", finish) / "run"


@pytest.fixture
def model(trained_once, tmp_path):
    """A work directory with a trained model, of the test's own."""
    return shutil.copytree(trained_once, tmp_path / "run")


@pytest.fixture
def finished(finished_once, tmp_path):
    """A work directory with everything in it, of the test's own."""
    return shutil.copytree(finished_once, tmp_path / "run")


@pytest.fixture
def program():
    """`program(*flags)` runs the program to its end, as a process."""

    def run(*arguments):
        return subprocess.run(
            command(*arguments), env=quick_environment(), cwd=ROOT, capture_output=True, text=True
        )

    return run


@pytest.fixture
def compiled():
    """A list that grows by each program that JAX compiles, or reads from its cache."""
    found = []

    def note(event, seconds, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(about)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield found
    jax.monitoring.unregister_event_duration_listener(note)
