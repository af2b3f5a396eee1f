"""The figures of the README are those of a run whose results are kept in docs/results."""

import json
import pathlib
import re

import pytest

from ddpm_jax.reporting import arms_sentences

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def results():
    """What `sh launch/demo.sh` left in `results/`."""
    return json.loads((ROOT / "docs/results/digits.json").read_text())


def test_the_readme_shows_the_table_that_the_run_ended_with(results):
    readme = (ROOT / "README.md").read_text()
    assert arms_sentences.table(results["arms"]) in readme


def test_the_readmes_sentence_says_what_the_run_says(results):
    readme = " ".join((ROOT / "README.md").read_text().split())
    real, only, both = (results["arms"][arm] for arm in ("real", "synthetic", "real+synthetic"))
    said = re.search(
        r"classifiers reach ([\d.]+) % trained on real images, ([\d.]+) % on synthetic ones alone",
        readme,
    )
    assert said, "the sentence is gone"
    assert [float(number) for number in said.groups()] == [
        round(100 * arm["accuracy"], 1) for arm in (real, only)
    ]
    claim = "Adding the synthetic images to the real ones shows no difference"
    assert (claim in readme) == (abs(both["gain_over_real"]) <= both["gain_ci95"])


def test_the_results_say_where_they_come_from(results):
    assert results["command"] and results["processor"] and results["versions"]["jax"]
