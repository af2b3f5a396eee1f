"""Figures of the README and of docs/evaluation.md are those of runs whose results are in docs/results."""

import json
import pathlib
import re

import numpy as np
import pytest

from ddpm_jax.evaluation import worth
from ddpm_jax.reporting import arms_sentences, items, small_sets

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = sorted((ROOT / "docs/results").glob("*.json"))


def kept(name):
    return json.loads((ROOT / f"docs/results/{name}.json").read_text())


def text_of(path):
    """Without its line breaks."""
    return " ".join((ROOT / path).read_text().split())


@pytest.fixture(scope="module")
def results():
    """What `sh launch/demo.sh` left in `results/`."""
    return kept("digits_classify")


def test_the_readme_shows_the_table_that_the_run_ended_with(results):
    readme = (ROOT / "README.md").read_text()
    assert arms_sentences.table(results["arms"]) in readme


def test_the_readmes_sentence_says_what_the_run_says(results):
    readme = text_of("README.md")
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


def test_the_evaluation_page_shows_the_study_of_small_sets():
    study, page = kept("digits_own"), (ROOT / "docs/evaluation.md").read_text()
    (size,) = study["sizes"]
    shown = page.partition("**Digits, 10 a class.**")[2].partition("\n### ")[0].splitlines()
    lines = [line for line in shown if line.startswith("|")][2:]
    for line, row in zip(lines, size["rows"], strict=True):
        gains = [
            small_sets.gain(row, over, "±") if f"gain_over_{over}" in row else ""
            for over in small_sets.BASELINES
        ]
        wanted = [row["arm"], items.percent_text(row["accuracy"], row["ci95"]), *gains]
        assert [cell.strip() for cell in line.split("|")[1:-1]] == wanted
    share, expected = (
        f"{100 * size['copies'][name]:.1f} %" for name in ("share", "expected_share")
    )
    accuracy = {row["arm"]: row["accuracy"] for row in size["rows"]}
    of_set = {row["arm"]: np.array(row["accuracies"]) for row in size["rows"]}
    both, real_only = (of_set[f"real+synthetic, {how}"] for how in ("augmented", "real augmented"))
    step = 1 / (study["n_test"] * study["classifiers_per_set"])
    lost = items.points_text(*worth.paired_difference(both, real_only, step))
    for said in (
        study["sentence"],
        f"{share} of the synthetic images are copies in pixels, where {expected} of new real images",
        f"Augmenting the synthetic images as well as the real ones changes accuracy by {lost} points",
    ):
        assert said in text_of("docs/evaluation.md"), said
    assert max(accuracy, key=accuracy.get) == "real, augmented"  # "has the highest accuracy"


def test_the_readme_answers_for_small_sets_as_the_study_does():
    study = kept("digits_own")
    assert study["sentence"] in text_of("README.md")
    (size,) = study["sizes"]
    both = next(row for row in size["rows"] if row["arm"] == "real+synthetic, real augmented")
    shown = abs(both["gain_over_augmented"]) > both["gain_over_augmented_ci95"]
    assert ("On digits, not yet." in text_of("README.md")) == (not shown)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_say_where_they_come_from(path):
    found = kept(path.stem)
    assert found["processor"] and found["versions"]["jax"]
    assert found["command"].startswith("python -m ddpm_jax.main --config=configs/")
