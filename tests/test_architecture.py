"""Arrows only go down, and no island imports another: read from the imports themselves."""

import ast
import pathlib
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "ddpm_jax"
ISLANDS = {"data", "nets", "diffusion", "training", "evaluation", "viz"}
ROOMS = {"reporting", "measuring", "planning", "models", "assembly"}
GROUND = {"pixels", "types", "whole_file", "zipped_arrays", "units"}
ALLOWED = {
    "main": {"jobs", "stages", "command_line", "rundir", "assembly", "planning", "training"},
    "classify": {"jobs", "command_line", "assembly", "data", "measuring"},
    "api": {
        "config_files",
        "jobs",
        "model",
        "measuring",
        "models",
        "assembly",
        "rundir",
        "data",
        "types",
        "viz",
    },
    "model": {"models", "assembly", "diffusion", "types"},
    "config_files": {"view", "whole_file"},
    "command_line": {"config_files", "kept_memory", "view"},
    "stages": {"run_files", "view", "rundir", "training"},
    "run_files": {"data", "view", "rundir", "models", "training"},
    "view": set(),
    "small_runs": {"stages", "run_files", "rundir", "view", "measuring", "training"},
    "interop": {"assembly", "diffusion", "evaluation", "rundir", "whole_file"},
    "serving": {"model", "data", "viz", "types"},
    "jobs": {
        "config_files",
        "interop",
        "model",
        "serving",
        "small_runs",
        "stages",
        "run_files",
        "view",
        "rundir",
        "metrics",
        "progress",
    }
    | ROOMS
    | ISLANDS
    | GROUND,
    "reporting": {"measuring", "evaluation", "viz", "units"},
    "planning": {"models", "measuring", "assembly", "rundir"} | ISLANDS | GROUND,
    "measuring": {"rundir"} | ISLANDS | GROUND,
    "models": {"measuring", "assembly", "rundir", "metrics", "progress"} | ISLANDS | GROUND,
    "assembly": {"rundir"} | ISLANDS | GROUND,
    "rundir": GROUND,
    "metrics": GROUND,
    "progress": GROUND,
    **{island: GROUND for island in ISLANDS},
    "pixels": {"types"},
    "kept_memory": set(),
    "whole_file": set(),
    "zipped_arrays": set(),
    "units": set(),
    "types": set(),
}
# Who may import what from outside: each of these is a wall that keeps one thing replaceable.
ONLY_IN = {
    "ml_collections": (
        "main.py",
        "api.py",
        "classify.py",
        "command_line.py",
        "config_files.py",
        "model.py",
        "small_runs.py",
        "stages.py",
        "run_files.py",
        "view.py",
        "jobs/",
        "assembly/",
        "interop/",
        "models/",
        "planning/",
    ),
    "tensorflow": ("data/tfds.py",),
    "tensorflow_datasets": ("data/tfds.py",),
    "tensorboardX": ("metrics.py",),
    "orbax": ("training/checkpoints.py",),
    "grain": ("data/order.py",),
    "gradio": ("serving/page.py",),
    "uvicorn": ("serving/server.py",),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def attributes(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_only_go_down(path):
    here = room(path)
    if here == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "ddpm_jax":
            continue
        there = parts[1]
        if there == here:
            assert here != "jobs", f"{path.name} imports the job {parts[2]}"
            continue
        assert there in ALLOWED[here], f"{here} must not import {there} ({path.name}: {name})"


@pytest.mark.parametrize("library", ONLY_IN)
def test_walls_around_libraries(library):
    for path in FILES:
        relative = str(path.relative_to(PACKAGE))
        for name in imports(path):
            if name == library or name.startswith(library + "."):
                assert relative.startswith(ONLY_IN[library]), f"{relative} imports {name}"


def test_only_a_plan_and_a_budget_plan():
    """A training measures itself as it goes."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.startswith("ddpm_jax.planning") for name in imports(path))
    }
    assert {user for user in users if not user.startswith("planning/")} == {
        "main.py",
        "jobs/plan.py",
    }


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("reporting/*.py")), ids=lambda p: p.name)
def test_a_report_needs_no_device(path):
    """Dicts to text and plots; of what is measured it knows the entries' names and the intervals."""
    known = sys.stdlib_module_names | {"numpy", "ddpm_jax"}
    assert {name.partition(".")[0] for name in imports(path)} <= known
    of_measuring = {n for n in imports(path) if n.startswith("ddpm_jax.measuring")}
    assert of_measuring <= {"ddpm_jax.measuring.metrics"}
    of_evaluation = {n for n in imports(path) if n.startswith("ddpm_jax.evaluation")}
    assert of_evaluation <= {"ddpm_jax.evaluation.worth"}


def test_one_file_knows_devices_and_one_maps_over_them():
    knows = dict.fromkeys(
        (
            "jax.devices",
            "jax.local_devices",
            "jax.device_count",
            "jax.local_device_count",
            "jax.process_index",
            "jax.process_count",
        ),
        "training/devices.py",
    ) | {"jax.pmap": "training/compilation.py"}
    for path in FILES:
        relative = str(path.relative_to(PACKAGE))
        for name in [*imports(path), *attributes(path)]:
            only = knows.get(name, relative)
            assert relative == only, f"{relative} uses {name}; only {only} does"


def test_only_two_doors_ask_for_the_platform_of_a_program():
    doors = {"nets/cpu/__init__.py", "training/step.py"}
    for path in FILES:
        relative = str(path.relative_to(PACKAGE))
        for name in [*imports(path), *attributes(path)]:
            asks = name.endswith((".platform_dependent", ".default_backend"))
            assert not asks or relative in doors, f"{relative} uses {name}; only {doors} do"
