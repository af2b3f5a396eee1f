"""What synthetic images are worth: which sets are trained on, what is made of the outcomes."""

import json

import numpy as np
import pytest

from ddpm_jax import rundir
from ddpm_jax.assembly import augmentation, classifiers, datasets
from ddpm_jax.jobs import report, worth
from ddpm_jax.measuring import labelled, subsets
from ddpm_jax.reporting import worth_sentences


@pytest.fixture
def config(config):
    config.worth.sizes, config.worth.multiples = (5, 20, 1000), (1, 2, 4)
    config.worth.num_seeds, config.worth.num_steps, config.worth.controls = 3, 4, ()
    config.worth.extra_sizes = 2
    return config


@pytest.fixture
def known(monkeypatch):
    """Classifiers whose accuracy is known: log(images) / 10, less 0.001 a seed; none is trained."""
    trained = []

    def measure(trainer, images, test, seeds, num_classes):
        trained.append(images)
        accuracy = np.log(len(images.label)) / 10 - 0.001 * seeds[0]
        confusion = np.full((10, 10), round((1 - accuracy) * 10**12))
        np.fill_diagonal(confusion, round(accuracy * 9 * 10**12))
        return [{"confusion": confusion.tolist(), "calibration_error": 0.25}]

    monkeypatch.setattr(labelled, "measure", measure)
    monkeypatch.setattr(classifiers, "build_trainer", lambda *arguments: None)
    return trained


def points_of(section, num_real, num_synthetic):
    chosen = {name: section[name] for name in ("sizes", "multiples", "controls")}
    return list(subsets.points(num_real, num_synthetic, **chosen))


def points(*args):
    return [tuple(point)[:3] for point in points_of(*args)]


def test_sizes_and_multiples_without_images_enough_fall_away(config):
    every = subsets.ALL
    assert points(config.worth, 30, 45) == [
        (5, 0, 0), (20, 0, 0), (every, 0, 0),
        (0, 5, 0), (0, 20, 0), (0, every, 0),
        (5, 5, 1), (5, 10, 2), (5, 20, 4), (20, 20, 1), (20, 40, 2), (every, 30, 1),
    ]  # fmt: skip


def test_each_synthetic_set_has_its_controls(config):
    config.worth.controls = ("duplicated", "augmented")
    both = [point for point in points_of(config.worth, 30, 5) if point.multiple]
    assert [point.arm for point in both] == ["real+synthetic", "real+duplicated", "real+augmented"]
    assert {point[:3] for point in both} == {(5, 5, 1)}
    config.worth.controls = ("tripled",)
    with pytest.raises(ValueError, match=r"controls is \('tripled',\), wanted some of"):
        points(config.worth, 30, 45)


def test_controls_are_as_many_images_of_the_same_real_subset(config):
    real = labelled.decode(datasets.build_splits(config.data, 0).train)
    copies = augmentation.build_copies(config.classifier.augment)
    sets = {
        kind: subsets.training_set(subsets.Point(5, 12, 2, kind), real, real, 1, copies)
        for kind in ("synthetic", "duplicated", "augmented")
    }
    for images in sets.values():
        assert np.bincount(images.label).tolist() == [17] * 10
    few = {image.tobytes() for image in subsets.subset(real, 5, 1).image}
    assert {image.tobytes() for image in sets["duplicated"].image} == few
    new = {image.tobytes() for image in sets["augmented"].image} - few
    assert len(new) > 0.9 * 120  # each copy is changed in its own way
    assert not new & {image.tobytes() for image in real.image}


@pytest.mark.parametrize(
    ("num_real", "num_synthetic", "message"),
    [(0, 5, "0 real and 5 synthetic"), (5, 0, "5 real and 0"), (5, 9, "smallest class has 5 real")],
)
def test_too_few_images_are_refused(config, num_real, num_synthetic, message):
    with pytest.raises(ValueError, match=message):
        points(config.worth, num_real, num_synthetic)


def test_subsets_are_balanced_nested_and_the_seeds_own(config):
    real = labelled.decode(datasets.build_splits(config.data, 0).train)
    few, more, other = (subsets.subset(real, *a) for a in ((5, 1), (20, 1), (5, 2)))
    assert np.bincount(few.label).tolist() == [5] * 10

    def images(of):
        return {image.tobytes() for image in of.image}

    assert images(few) < images(more) < images(real)
    assert images(few) != images(other)
    assert subsets.subset(real, subsets.ALL, 1) is real


def test_images_that_act_as_real_ones_are_worth_their_number(finished, config, known, capsys):
    fields = worth.run(config, finished)
    rows = {(row["arm"], row["real"], row["n_train"]): row for row in fields["points"]}
    # From 50 to 200 is more than half a decade: 100 lies half-way.
    assert list(rows) == [
        ("real", 50, 50), ("real", 100, 100), ("real", 200, 200), ("real", 1258, 1258),
        ("synthetic", 0, 50), ("synthetic", 0, 100),
        ("real+synthetic", 50, 100), ("real+synthetic", 50, 150),
    ]  # fmt: skip
    only = rows["synthetic", 0, 100]
    assert only["worth_real"] == {"images": 100, "low": 100, "high": 100, "bound": False}
    assert only["gain_over_real"] == pytest.approx(np.log(100 / 1258) / 10)
    assert only["gain_ci95"] == pytest.approx(0, abs=1e-9)  # what the seeds share cancels
    assert only["ci95"] == pytest.approx(4.302653 * 0.001 / np.sqrt(3))  # t with 2 degrees
    both = rows["real+synthetic", 50, 100]
    assert both["multiple"] == 1
    np.testing.assert_allclose(both["per_class_gain"], np.full(10, np.log(2) / 10))
    assert both["calibration_error"] == 0.25
    assert fields["sentence"] == (
        "100 synthetic images are worth 100 real ones (95 % interval: 100 to 100); added to real images, in "
        "2 comparisons, the largest gain shown is +11.0 +- 0.0 points (100 synthetic and 50 real images) and "
        "no loss was shown; their intervals do not allow for the selection"
    )
    assert fields["sentence"] in capsys.readouterr().out
    for name in ("worth", "worth-alone", "worth-classes", "worth-equivalence"):
        assert (finished / f"figures/{name}.png").exists()


def test_beyond_the_real_curve_there_is_no_number(finished, config, known, monkeypatch):
    best = labelled.measure

    def better(trainer, images, *rest):
        wanted = 5000 if len(images.label) == 100 else len(images.label)
        return best(trainer, labelled.Labelled(None, np.zeros(wanted)), *rest)

    monkeypatch.setattr(labelled, "measure", better)
    fields = worth.run(config, finished)
    only = next(
        row for row in fields["points"] if row["arm"] == "synthetic" and row["n_train"] == 100
    )
    assert only["worth_real"] == {"images": None, "low": 1258, "high": None, "bound": True}
    assert "are worth more than 1,258 real ones (a bound at 95 %)" in fields["sentence"]
    json.loads((finished / "results/worth.json").read_text(), parse_constant=pytest.fail)


def test_no_gain_is_claimed_where_none_is_shown(finished, config, known, monkeypatch):
    outcome = {"confusion": np.eye(10, dtype=int).tolist(), "calibration_error": 0.0}
    monkeypatch.setattr(labelled, "measure", lambda *arguments: [dict(outcome)])
    assert worth.run(config, finished)["sentence"].endswith(
        "in 2 comparisons, no gain was shown and no loss was shown"
    )


def test_a_loss_is_told_beside_a_gain():
    def row(real, multiple, gain, width):
        sizes = {"real": real, "n_train": real + multiple * real}
        return sizes | {"gain_over_real": gain, "gain_ci95": width}

    rows = [row(300, 1, 0.019, 0.010), row(300, 10, 0.055, 0.012), row(3000, 1, -0.007, 0.004)]
    rows += [row(3000, 10, -0.020, 0.006), row(54000, 1, -0.030, 0.040)]
    assert worth_sentences.extremes(rows) == (
        "added to real images, in 5 comparisons, the largest gain shown is +5.5 +- 1.2 points (3,000 "
        "synthetic and 300 real images) and the largest loss shown is -2.0 +- 0.6 points (30,000 synthetic "
        "and 3,000 real images); their intervals do not allow for the selection"
    )
    assert worth_sentences.extremes(rows[3:4]) == (
        "added to real images, in one comparison, no gain was shown and the largest loss shown is "
        "-2.0 +- 0.6 points (30,000 synthetic and 3,000 real images)"
    )


def test_without_further_sizes_the_worth_is_a_bound(finished, config, known):
    config.worth.extra_sizes = 0
    fields = worth.run(config, finished)
    only = next(
        row for row in fields["points"] if row["arm"] == "synthetic" and row["n_train"] == 100
    )
    assert only["worth_real"] == {"images": None, "low": 50, "high": 200, "bound": True}
    assert fields["sentence"].startswith(
        "100 synthetic images are worth between 50 and 200 real ones (a bound at 95 %); added"
    )
    report.run(config, finished)
    page = (finished / "report.html").read_text()
    assert "between 50 and 200" in page and "a bound at 95 %" in page


def test_further_sizes_are_whole_numbers_of_each_class_between_those_there_are():
    sizes = {3: 30, 30: 300, subsets.ALL: 1258}
    assert subsets.real_point(94.9, sizes, 120) == subsets.Point(9, 0, 0)
    assert subsets.real_point(614, sizes, 120) == subsets.Point(61, 0, 0)
    # If classes are unequal, all images are more than the smallest class allows for in each.
    assert subsets.real_point(1000, sizes, 60) == subsets.Point(59, 0, 0)
    assert subsets.real_point(1000, sizes, 31) is None
    assert subsets.real_point(15, {1: 10, 2: 20, subsets.ALL: 1258}, 120) is None
    points = [subsets.Point(0, 5, 0), subsets.Point(subsets.ALL, 0, 0), subsets.Point(4, 0, 0)]
    assert sorted(points, key=subsets.order) == [points[2], points[1], points[0]]


@pytest.mark.parametrize(
    ("found", "number", "interval"),
    [
        ((120.4, 0, None), "120", "95 % interval: fewer than 50 to more than 1,258"),
        ((None, 50, 200), "between 50 and 200", "a bound at 95 %"),
        ((None, 0, 200), "fewer than 200", "a bound at 95 %"),
        ((None, 200, None), "more than 200", "a bound at 95 %"),
        ((None, 0, None), "fewer than 50 to more than 1,258", "a bound at 95 %"),
    ],
)
def test_numbers_and_bounds_in_words(found, number, interval):
    rows = [{"arm": "real", "real": 50}, {"arm": "real", "real": 1258}]
    fields = dict(zip(("images", "low", "high"), found, strict=True))
    assert worth_sentences.number(fields, rows) == number
    assert worth_sentences.interval(fields, rows) == interval


def test_what_was_trained_is_not_trained_again(finished, config, known, monkeypatch):
    whole = labelled.measure

    def broken_after(number):
        def measure(*arguments):
            if len(known) == number:
                raise KeyboardInterrupt
            return whole(*arguments)

        return measure

    for number in (7, 7 * 3 + 1):  # among the configured sizes, and at the size that was added
        monkeypatch.setattr(labelled, "measure", broken_after(number))
        with pytest.raises(KeyboardInterrupt):
            worth.run(config, finished)
    monkeypatch.setattr(labelled, "measure", whole)
    worth.run(config, finished)
    assert len(known) == 8 * 3
    worth.run(config, finished)
    assert len(known) == 8 * 3
    config.worth.num_seeds = 4
    worth.run(config, finished)
    assert len(known) == 8 * 3 + 8 * 4


def test_the_page_says_what_images_are_worth(finished, config, known):
    worth.run(config, finished)
    report.run(config, finished)
    page = (finished / "report.html").read_text()
    assert "Worth by number of real images" in page and "95 % interval: 100 to 100" in page
    assert "trained on all 1,258 real images in every row" in " ".join(page.split())


def test_the_page_does_not_say_what_an_imported_generator_has_seen(
    finished, config, known, monkeypatch
):
    monkeypatch.setattr(worth.checkpoint_choice, "imported_from", lambda workdir: "theirs")
    worth.run(config, finished)
    report.run(config, finished)
    page = " ".join((finished / "report.html").read_text().split())
    assert "The generator was imported from theirs; which images" in page
    assert "real images in every row" not in page


def test_fields_may_be_chosen_on_validation_images(finished, config, known):
    config.classifier.split = "validation"
    fields = worth.run(config, finished)
    assert (fields["n_test"], fields["tested_on"]) == (180, "validation split of digits")


@pytest.mark.slow
def test_it_trains_real_classifiers(finished, config):
    config.worth.sizes, config.worth.multiples, config.worth.num_seeds = (5,), (1,), 2
    config.worth.extra_sizes = 0
    fields = worth.run(config, finished)
    assert [row["arm"] for row in fields["points"]] == [
        "real", "real", "synthetic", "synthetic", "real+synthetic",
    ]  # fmt: skip
    assert fields["classifier"]["num_steps"] == 4 and fields["n_test"] == 359
    assert all(0 <= row["accuracy"] <= 1 for row in fields["points"])
    assert not rundir.result_path(finished, "worth.partial").exists()


def test_without_synthetic_images_it_says_how_to_make_them(config, tmp_path):
    with pytest.raises(FileNotFoundError, match="--mode=export"):
        worth.run(config, tmp_path)
