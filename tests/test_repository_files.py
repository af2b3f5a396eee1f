"""Files for people and their tools beside the code: they say what the code and CI say."""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {PROJECT['version']}" in lines
    assert f"license: {PROJECT['license']}" in lines
    assert f"title: {PROJECT['name']}" in lines


def test_the_hooks_before_a_commit_are_the_checks_of_ci():
    hooks = re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    checks = re.findall(
        r"^\.venv/bin/(?:ruff|mypy).*", (ROOT / ".ci/run").read_text(), re.MULTILINE
    )
    assert hooks == checks and len(hooks) == 3


def test_ci_installs_what_builds_the_site():
    (everything,) = (one for one in PROJECT["optional-dependencies"]["dev"] if "ddpm_jax[" in one)
    assert "docs" in re.findall(r"\w+", everything.partition("[")[2])
