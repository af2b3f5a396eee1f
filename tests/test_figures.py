"""Figures of the README and of docs/studies.md are those of runs whose results are in docs/results."""

import json
import pathlib
import re
import shlex

import numpy as np
import pytest

from ddpm_jax import config_files
from ddpm_jax.evaluation import worth
from ddpm_jax.reporting import answer, arms_sentences, items, small_sets
from launch import small_set_levers

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = sorted((ROOT / "docs/results").rglob("*.json"))


def kept(name):
    return json.loads((ROOT / f"docs/results/{name}.json").read_text())


def text_of(path):
    """Without its line breaks."""
    return " ".join((ROOT / path).read_text().split())


def table_below(path, heading):
    """The cells of the rows of the first table below a heading."""
    shown = (ROOT / path).read_text().partition(heading)[2]
    lines = shown[shown.index("\n|") :].strip().partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


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


STUDIES = {
    "digits_own": ("docs/studies.md", "**Digits, 10 a class.**"),
    "digits_own_plain": ("docs/notes/small_sets.md", "## The second study"),
}
"""Where the table of a study of small sets stands."""


@pytest.mark.parametrize("name", STUDIES)
def test_the_docs_show_the_studies_of_small_sets(name):
    (path, heading), (size,) = STUDIES[name], kept(name)["sizes"]
    for cells, row in zip(table_below(path, heading), size["rows"], strict=True):
        gains = [
            small_sets.gain(row, over, "±") if f"gain_over_{over}" in row else ""
            for over in small_sets.BASELINES
        ]
        assert cells == [row["arm"], items.percent_text(row["accuracy"], row["ci95"]), *gains]
    share, expected = (
        f"{100 * size['copies'][name]:.1f} %" for name in ("share", "expected_share")
    )
    copies = (
        f"{share} of the synthetic images are copies in pixels, where {expected} of new real images"
    )
    assert copies in text_of(path)


ARMS = ("real", "real, augmented", "synthetic", "real+synthetic, real augmented")


def rows_by_size():
    """Images of each class -> the result of that size, and its rows by arm."""
    sizes = [size for name in ("digits_own", "digits_sizes_own") for size in kept(name)["sizes"]]
    return {
        size["per_class"]: (size, {row["arm"]: row for row in size["rows"]})
        for size in sorted(sizes, key=lambda size: size["per_class"])
    }


def test_the_studies_page_shows_every_size():
    found = rows_by_size()
    assert [*found] == [5, 10, 20, 50]
    shown = [
        [
            str(number),
            *(items.percent_text(rows[arm]["accuracy"], rows[arm]["ci95"]) for arm in ARMS),
            small_sets.gain(rows[ARMS[-1]], "augmented", "±"),
            "{:.1f} ({:.1f})".format(
                *(100 * size["copies"][name] for name in ("share", "expected_share"))
            ),
        ]
        for number, (size, rows) in found.items()
    ]
    assert table_below("docs/studies.md", "## Digits, from 5 to 50 a class") == shown


def test_the_studies_page_says_at_which_sizes_a_gain_is_shown():
    helped = {}
    for number, (_, rows) in rows_by_size().items():
        both, augmented = (np.array(rows[arm]["accuracies"]) for arm in (ARMS[-1], ARMS[1]))
        helped[number] = bool((both > augmented).all())
        assert len(both) == 8
        gain, half = (rows[ARMS[-1]][f"gain_over_augmented{end}"] for end in ("", "_ci95"))
        assert (gain > half) == helped[number]
        alone, half = (rows["synthetic"][f"gain_over_real{end}"] for end in ("", "_ci95"))
        assert (alone > half) == helped[number]
        below, half = (rows["synthetic"][f"gain_over_augmented{end}"] for end in ("", "_ci95"))
        assert (below < -half) == (number != 5)
    assert helped == {5: True, 10: True, 20: True, 50: False}


def test_the_studies_page_answers_as_the_study_of_small_sets_does():
    study = kept("digits_own")
    assert study["sentence"] in text_of("docs/studies.md")
    of_arm = {row["arm"]: row for row in study["sizes"][0]["rows"]}
    both, augmented = (
        np.array(of_arm[f"{parts}augmented"]["accuracies"])
        for parts in ("real+synthetic, real ", "real, ")
    )
    assert (both > augmented).all() and len(both) == 8  # "in each of the eight sets"
    alone = of_arm["synthetic"]
    assert alone["gain_over_real"] > alone["gain_over_real_ci95"]
    assert alone["gain_over_augmented"] < -alone["gain_over_augmented_ci95"]


def test_the_studies_page_gives_the_answer_with_other_settings():
    of_arm = {row["arm"]: row for row in kept("digits_own_settings")["rows"]}
    both, augmented = (of_arm[f"real{added} augmented"] for added in ("+synthetic, real", ","))
    accuracies = " and ".join(f"{100 * row['accuracy']:.1f} %" for row in (augmented, both))
    said = f"they have {accuracies} on the same sets, a gain of {small_sets.gain(both, 'augmented', '±')}"
    assert said in text_of("docs/studies.md")


def test_the_notes_say_what_augmenting_synthetic_images_costs():
    study = kept("digits_own_plain")
    (size,) = study["sizes"]
    of_set = {row["arm"]: np.array(row["accuracies"]) for row in size["rows"]}
    both, real_only = (of_set[f"real+synthetic, {how}"] for how in ("augmented", "real augmented"))
    step = 1 / (study["n_test"] * study["classifiers_per_set"])
    lost = items.points_text(*worth.paired_difference(both, real_only, step))
    said = f"Augmenting the synthetic images as well as the real ones changes accuracy by {lost} points"
    assert said in text_of("docs/notes/small_sets.md")


def test_each_lever_was_measured_with_the_flags_that_the_script_gives():
    for name, (_, flags) in small_set_levers.LEVERS.items():
        command = shlex.split(kept(f"digits_levers/{name}")["command"])
        assert sorted(command[5:]) == sorted(flags), name


def test_levers_were_measured_from_pure_noise_and_without_a_condition():
    """The recipe that they chose is not where they began."""
    config = config_files.get_config("studies/digits_levers")
    assert config.export.start == 1.0 and not config.net.augment_condition
    assert config.sampling.solver == "ddim" and config.training.num_steps == 1000


def test_the_notes_show_what_each_lever_gives():
    """A row of the table begins with the lever's name."""
    page = (ROOT / "docs/notes/small_sets.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [name.strip("`") for name, *_ in rows] == [*small_set_levers.LEVERS]
    for name, _, *figures in rows:
        (size,) = kept(f"digits_levers/{name.strip('`')}")["sizes"]
        (row,) = (row for row in size["rows"] if row["arm"] == "real+synthetic, real augmented")
        copies = f"{100 * size['copies']['share']:.1f}"
        assert figures == [small_sets.gain(row, "augmented", "±"), copies]


@pytest.mark.parametrize(
    ("lever", "over"), [("step500", "condition"), ("steps500-start0.6", "steps500")]
)
def test_the_notes_compare_levers_paired_by_set(lever, over):
    one, other = (kept(f"digits_levers/{name}") for name in (lever, over))
    found = [
        np.array(row["accuracies"])
        for study in (one, other)
        for row in study["sizes"][0]["rows"]
        if row["arm"] == "real+synthetic, real augmented"
    ]
    step = 1 / (one["n_test"] * one["classifiers_per_set"])
    gain = items.points_text(*worth.paired_difference(*found, step))
    assert f"`{lever}` has {gain} over `{over}`" in text_of("docs/notes/small_sets.md")


def test_the_readme_answers_for_small_sets_as_the_study_does():
    study = kept("digits_own")
    assert study["sentence"] in text_of("README.md")
    (size,) = study["sizes"]
    both = next(row for row in size["rows"] if row["arm"] == "real+synthetic, real augmented")
    shown = both["gain_over_augmented"] > both["gain_over_augmented_ci95"]
    assert ("On digits they do, a little." in text_of("README.md")) == shown
    others = [
        small_sets.gain(rows_by_size()[number][1][ARMS[-1]], "augmented", "±") for number in (5, 20)
    ]
    said = (
        "With 5 images a class the gain is {} points, with 20 it is {}, and with 50 none is shown"
    )
    assert said.format(*others) in text_of("README.md")


def test_the_page_on_own_images_shows_what_twenty_minutes_gave():
    found, page = kept("own_emoji_classify"), (ROOT / "docs/howto/own_images.md").read_text()
    assert arms_sentences.table(found["arms"]) in page
    said, budget = text_of("docs/howto/own_images.md"), found["budget"]
    assert answer.sentence({"classify": found}) in said
    assert f"The chain took {budget['taken_seconds'] / 60:.1f} minutes." in said
    steps, images, seeds, fits = (
        budget["shown"][name]
        for name in (
            "training.num_steps",
            "export.num_images",
            "classifier.num_seeds",
            "classifier.num_steps",
        )
    )
    assert (
        f"{steps:,} steps of 64 pictures and drew {images:,}. Each arm has {seeds} classifiers"
        in said
    )
    assert f"of {fits:,} steps. On {found['n_test']} test images" in said


def test_the_notes_show_what_each_optimizer_reached():
    rows = [
        f"| `{row['optimizer']}` | {row['batch_size']} | {row['learning_rate']:g} | {row['num_steps']:,} | "
        f"{row['validation_loss']:.3f} | {row['seconds']:.0f} |"
        for row in kept("optimizers")["rows"]
    ]
    assert "\n".join(rows) in (ROOT / "docs/notes/optimizer.md").read_text()
    assert {row["num_steps"] * row["batch_size"] for row in kept("optimizers")["rows"]} == {57_600}
    before = kept("optimizers")["chain_of_20_minutes"]
    images, loss = before["num_steps"] * before["batch_size"], before["validation_loss"]
    said = text_of("docs/notes/optimizer.md")
    assert f"AdamW had after {images:,} in a chain of 20 minutes ({loss:.3f}, with dropout)" in said
    assert f"AdamW, {before['num_steps']:,} steps on one device" in said
    assert f"given back, {before['taken_minutes']:.0f} minutes in all" in said


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_results_say_where_they_come_from(path):
    found = json.loads(path.read_text())
    assert found["processor"] and found["versions"]["jax"]
    assert found["command"].startswith("python -m ddpm_jax.main --config=configs/")
