"""The answer over made-up results: each yes and no, with its intervals worked out by hand."""

import pytest

from ddpm_jax.reporting import answer

REAL = [0.80, 0.80, 0.80]
# Of three paired differences d - 0.01, d, d + 0.01, the 95 % t-interval is d +- 4.303 * 0.01 / sqrt(3).
SPREAD = [-0.01, 0.0, 0.01]


def arm(gain, half_width=0.025):
    accuracies = [real + gain + more for real, more in zip(REAL, SPREAD, strict=True)]
    return {
        "accuracy": 0.8 + gain,
        "ci95": half_width,
        "accuracies": accuracies,
        "n_train": 900,
    } | {
        "gain_over_real": gain,
        "gain_ci95": half_width,
    }


def constant(gain):
    """An arm whose seeds all gain the same."""
    return arm(gain, 0.001) | {"accuracies": [real + gain for real in REAL]}


def classified(**arms):
    named = {name.replace("_", "+"): fields for name, fields in arms.items()}
    arms = {"real": arm(0.0)} | named
    return {"classify": {"arms": arms, "synthetic": "made.npz", "n_test": 1_000_000}}


@pytest.mark.parametrize(
    ("gain", "wanted"),
    [
        (
            0.04,
            "Yes: adding them changes accuracy by +4.0 +- 2.5 points over the real images alone.",
        ),
        (0.02, "No difference is shown: adding them changes accuracy by +2.0 +- 2.5 points"),
        (-0.02, "No difference is shown: adding them changes accuracy by -2.0 +- 2.5 points"),
        (
            -0.04,
            "No: adding them changes accuracy by -4.0 +- 2.5 points over the real images alone.",
        ),
    ],
)
def test_against_real_images_alone(gain, wanted):
    assert answer.sentence(classified(real_synthetic=arm(gain))).startswith(wanted)


@pytest.mark.parametrize(
    ("gain", "augmented", "begin", "end"),
    [
        (0.09, 0.02, "Yes: adding", "is +7.0 +- 2.5 points."),
        (0.04, 0.03, "No advantage over augmentation is shown: adding", "(no difference shown)."),
        (0.04, 0.08, "No, augment instead: adding", "is -4.0 +- 2.5 points."),
        (0.01, 0.08, "No, augment instead: adding", "is -7.0 +- 2.5 points."),
        (
            0.01,
            0.02,
            "No difference is shown: adding",
            "is -1.0 +- 2.5 points (no difference shown).",
        ),
        (-0.04, 0.08, "No: adding", "is -12.0 +- 2.5 points."),
    ],
)
def test_against_as_many_augmented_copies(gain, augmented, begin, end):
    found = classified(real_synthetic=arm(gain), real_augmented=constant(augmented))
    found["classify"]["arms"]["real+augmented"]["n_train"] += 2_700
    text = answer.sentence(found)
    assert text.startswith(begin) and text.endswith(end), text
    assert "Against 2,700 augmented copies of the real images" in text


@pytest.mark.parametrize(
    "others",
    [
        {"real+synthetic, augmented": 0.09},
        {"real+synthetic, real augmented": 0.09},
        {"real+synthetic, augmented": 0.2, "real+synthetic, real augmented": 0.09},
    ],
)
def test_augmented_training_is_compared_with_augmented_training(others):
    """Over real alone both arms gain: that is the augmentation's doing, not the images'."""
    found = classified(real_synthetic=arm(0.05))
    found["classify"]["arms"] |= {"real, augmented": constant(0.10)}
    found["classify"]["arms"] |= {name: arm(gain) for name, gain in others.items()}
    assert answer.sentence(found) == (
        "No difference is shown: adding them changes accuracy by -1.0 +- 2.5 points over augmented "
        "training alone."
    )
    assert [number.value for number in answer.numbers(found)] == ["-1.0 ± 2.5"]


@pytest.mark.parametrize("name", answer.WITH_AUGMENTATION)
def test_without_augmented_real_images_an_augmented_arm_is_held_against_plain_ones(name):
    found = classified()
    found["classify"]["arms"][name] = arm(0.04)
    assert answer.sentence(found) == (
        "Yes: adding them changes accuracy by +4.0 +- 2.5 points over the real images alone."
    )


def test_arms_that_select_or_soften_answer_where_no_plain_one_was_trained():
    found = classified()
    arms = found["classify"]["arms"]
    arms["real+synthetic, selected, soft"] = arm(0.04)
    assert answer.sentence(found) == (
        "Yes: adding them changes accuracy by +4.0 +- 2.5 points over the real images alone (selected and "
        "soft)."
    )
    arms |= {
        "real, augmented": constant(0.10),
        "real+synthetic, selected, augmented": arm(0.15),
    }
    assert answer.sentence(found) == (
        "Yes: adding them changes accuracy by +5.0 +- 2.5 points over augmented training alone (selected)."
    )
    arms["real+synthetic, augmented"] = arm(0.10)
    assert answer.sentence(found).startswith("No difference is shown")


def test_without_the_arm_that_answers():
    text = answer.sentence(classified(synthetic=arm(-0.05)))
    assert text.startswith("Not measured: no classifier was trained on real and synthetic")
    assert text.endswith("Alone, they give -5.0 +- 2.5 points against real images.")
    found = classified()
    assert "Alone" not in answer.sentence(found)
    found["classify"]["synthetic"] = None
    assert answer.sentence(found).startswith("There are none")


def test_without_a_classifier():
    assert answer.sentence({"train": {}}) == ""
    labelled, unlabelled = ({"export": {"class_counts": counts}} for counts in ([5, 5], None))
    assert answer.sentence(labelled).startswith("Not known yet")
    assert answer.sentence(unlabelled) == "Not to train a classifier: these images have no labels."
    assert answer.numbers(unlabelled) == []


def test_copies_are_named_and_counted():
    pixels = {"share": 0.3, "expected_share": 0.01, "p_value": 1e-9}
    memory = {"copies": True, "p_value": 1e-9, "pixels": pixels}
    found = classified(real_synthetic=arm(0.04)) | {"evaluate": {"memorization": memory}}
    assert answer.sentence(found).endswith("They include copies of training images.")
    assert [number.value for number in answer.numbers(found)] == ["+4.0 ± 2.5", "30.0 %"]
    memory["pixels"] = pixels | {"share": 0.005, "p_value": 0.4}
    memory["conv4"] = {"share": 0.2, "expected_share": 0.01, "p_value": 1e-9}
    _, number = answer.numbers(found)
    assert (number.value, number.what) == ("20.0 %", "next to a training image, in features")


def test_a_study_of_several_sizes_answers_for_most_real_images_and_the_largest_multiple():
    def row(real, multiple, gain):
        sizes = {"real": real, "multiple": multiple, "n_train": real + 380}
        return {"arm": "real+synthetic"} | arm(gain) | sizes

    points = [row(10, 4, 0.2), row(100, 1, 0.1), row(100, 4, 0.01)]
    assert answer.sentence({"worth": {"points": points}}) == (
        "No difference is shown: adding them changes accuracy by +1.0 +- 2.5 points over 100 real "
        "images alone, with 380 synthetic ones."
    )
    assert answer.sentence({"worth": {"points": []}}).startswith("Not measured")


def test_small_sets_answer_by_the_arms_that_were_chosen():
    def row(name, gain):
        over = {f"gain_over_{over}": gain for over in ("real", "augmented")}
        return {"arm": name} | over | {f"{field}_ci95": 0.014 for field in over}

    size = {
        "per_class": 10,
        "rows": [row("real, augmented", 0.038), row("both", 0.2), row("both, augmented", -0.02)],
        "chosen": {"real": {"judge": "real, augmented"}, "synthetic": {"judge": "both, augmented"}},
        "copies": {"share": 0.025, "expected_share": 0.008},
    }
    found = {"own": {"sizes": [size]}} | classified(real_synthetic=arm(0.5))
    assert answer.sentence(found) == (
        "With 10 real images a class, no: adding them changes accuracy by -2.0 +- 1.4 points over "
        "augmented training alone. The generators have seen no other images than the classifiers."
    )
    values = [number.value for number in answer.numbers(found)]
    assert values == ["-2.0 ± 1.4", "+3.8 ± 1.4", "2.5 %"]
    size["copies"] = {"share": None, "why": "there are 60"}
    values = [number.value for number in answer.numbers(found)]
    assert values == ["-2.0 ± 1.4", "+3.8 ± 1.4"]
