"""docs/systems.md names only what exists, and leaves no row of the checklist empty."""

import ast
import pathlib
import re

import pytest

from configs import default
from ddpm_jax import rundir

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs/systems.md").read_text()
FEATURES, DEFECTS = TEXT.split("## Defects of the originals")
SECTIONS = set(default.get_config())


def rows(text):
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| feature", "| defect")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(text):
    return re.findall(r"`([^`]+)`", text)


def functions_of(path):
    return {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}


def complaint(name):
    """What is wrong with a name in backticks, or None."""
    if name.startswith("--mode="):
        known = ("all", *rundir.CHAIN, *rundir.OTHERS)
        mode = name.removeprefix("--mode=")
        return None if mode in known else f"no mode {mode}"
    if "::" in name:
        path, _, test = name.partition("::")
        if not (ROOT / path).is_file():
            return f"no file {path}"
        return None if test in functions_of(ROOT / path) else f"no test {test} in {path}"
    if re.match(r"(configs|ddpm_jax|tests|docs|launch)/", name):
        return None if (ROOT / name).is_file() else f"no file {name}"
    field = name.partition("=")[0]
    section, *rest = field.split(".")
    if section in SECTIONS and rest and not name.endswith(".png"):
        config = default.get_config()[section]
        for part in rest:
            if part not in config:
                return f"no field {field}"
            config = config[part]
    return None


@pytest.mark.parametrize("row", [*rows(FEATURES), *rows(DEFECTS)], ids=lambda row: row[0])
def test_a_row_names_what_exists(row):
    wrong = [said for name in names(" ".join(row)) if (said := complaint(name))]
    assert not wrong


@pytest.mark.parametrize("row", list(rows(FEATURES)), ids=lambda row: row[0])
def test_a_feature_has_a_place_and_a_test_or_a_reason(row):
    assert len(row) == 5
    _, _, place, test, _ = row
    if place.startswith("not built: "):
        return
    assert names(place), "names no config, field, file or mode"
    assert any("::" in name for name in names(test)), "names no test"


@pytest.mark.parametrize("row", list(rows(DEFECTS)), ids=lambda row: row[0])
def test_a_defect_has_a_test(row):
    assert any("::" in name for name in names(row[2]))


@pytest.mark.parametrize(
    "name",
    [
        "--mode=dream",
        "configs/none.py",
        "net.no_such_field",
        "tests/test_systems.py::test_nothing",
        "tests/none.py::test_nothing",
    ],
)
def test_names_of_nothing_are_complained_about(name):
    assert complaint(name)
