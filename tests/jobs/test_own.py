"""--mode=own: small sets with generators of their own, choices on held-out folds, test images at the end."""

import errno
import fcntl
import json

import numpy as np
import pytest
from test_what_stages_read import fields_that_matter
from tiny_run import tiny
from watched_digits import watch

from ddpm_jax import run_files, rundir, small_runs, stages, view
from ddpm_jax.assembly import datasets, variants
from ddpm_jax.data import division, npz, source
from ddpm_jax.jobs import copies, own, report
from ddpm_jax.measuring import copies as measured_copies
from ddpm_jax.measuring import small_sets
from ddpm_jax.reporting import small_sets as shown
from ddpm_jax.small_runs import SmallSet
from ddpm_jax.training import lock

SIZES, FOLDS = (4,), 2


def small_study():
    config = tiny()
    config.own.sizes, config.own.num_sets = SIZES, 2
    config.own.num_tuning_sets, config.own.num_folds = 1, FOLDS
    config.own.learning_rates = config.own.weight_decays = ()
    config.own.strengths, config.own.shares = (), (0.5,)
    config.own.synthetic_arms = ("synthetic", "real+synthetic, augmented")
    config.training.save_every = config.training.eval_every = 6
    config.export.num_images = 20
    return config


def images_of(split):
    return {image.tobytes() for image in source.decode(split)}


def splits_of(config, one):
    config = small_runs.config_of(config, one)
    return datasets.build_splits(config.data, config.seed)


def test_sets_of_other_seeds_share_the_test_images_alone(config):
    """Some digits are exact duplicates, so sets of other seeds are compared by their indices' images."""
    ordinary = datasets.build_splits(config.data, config.seed)
    several = [splits_of(config, SmallSet(5, seed)) for seed in (0, 1)]
    for splits in several:
        assert np.array_equal(splits.test.images, ordinary.test.images)
        assert np.bincount(splits.train.labels).tolist() == [5] * 10
        assert len(splits.validation.labels) == 0
    first, second = (images_of(splits.train) for splits in several)
    assert len(first & second) < 10 < len(first | second)


def test_folds_divide_a_small_set(config):
    whole = splits_of(config, SmallSet(7, 3))
    folds = [splits_of(config, SmallSet(7, 3, fold)) for fold in range(config.own.num_folds)]
    held_out = [images_of(splits.validation) for splits in folds]
    assert set.union(*held_out) == images_of(whole.train)
    assert sum(map(len, held_out)) == len(images_of(whole.train))
    for splits in folds:
        counts = np.bincount(splits.validation.labels, minlength=10)
        assert counts.min() >= 2 and counts.max() <= 3  # 7 images of each class in three folds
        assert not images_of(splits.train) & images_of(splits.validation)


@pytest.mark.parametrize(("fold", "num_folds"), [(3, 3), (-2, 3), (0, 1)])
def test_a_fold_that_does_not_exist_is_refused(config, fold, num_folds):
    config.data.num_folds, config.data.fold = num_folds, fold
    with pytest.raises(ValueError, match=f"fold {fold} of {num_folds} folds is wanted"):
        datasets.build_splits(config.data, config.seed)


def test_too_few_images_for_the_folds_are_refused():
    labels = np.array([0, 1], np.int32)
    few = source.from_arrays(np.zeros((2, 8, 8, 1), np.uint8), labels, ["a", "b"], "few")
    with pytest.raises(ValueError, match="2 images of few are too few for 2 folds"):
        division.hold_out(few, 1, 2, seed=0)


def test_the_choice_takes_one_field_after_another_and_asks_once_for_each():
    asked = []

    def accuracy(settings):
        asked.append(settings)
        return -((settings["a"] - 2) ** 2) - (settings["b"] - 5) ** 2

    best, tried = small_sets.choose({"a": 1, "b": 4}, {"a": (2, 3), "b": (4, 5, 6)}, accuracy)
    assert best == {"a": 2, "b": 5}
    pairs = [(1, 4), (2, 4), (3, 4), (2, 5), (2, 6)]
    assert [tuple(settings.values()) for settings in asked] == pairs
    assert [one["settings"] for one in tried] == asked


def test_of_equal_settings_the_first_is_kept():
    best, _ = small_sets.choose({"a": 1}, {"a": (2, 3)}, lambda settings: 0.5)
    assert best == {"a": 1}


def test_gains_are_paired_by_set():
    several = {
        "real": np.array([0.5, 0.7, 0.9]),
        "real, augmented": np.array([0.6, 0.8, 1.0]),
        "real+synthetic, augmented": np.array([0.7, 0.8, 0.9]),
    }
    real, augmented, both = small_sets.rows(several, step=0.003)
    assert "gain_over_real" not in real
    assert augmented["gain_over_real"] == pytest.approx(0.1)
    # The sets agree: what is left is the rounding of two accuracies, 0.003 / sqrt(12) each.
    assert augmented["gain_over_real_ci95"] == pytest.approx(4.302653 * 0.003 / 18**0.5, rel=1e-5)
    assert both["gain_over_augmented"] == pytest.approx(0)
    # Differences 0.1, 0, -0.1: standard error 0.1 / sqrt(3), t quantile of two degrees of freedom.
    assert both["gain_over_augmented_ci95"] == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)


@pytest.fixture(scope="module")
def studied(tmp_path_factory, module_compiled_quickly):
    workdir = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_runs.jax, "clear_caches", lambda: None)  # eight runs fit into memory
        return workdir, own.run(small_study(), workdir)


def test_a_study_measures_every_arm_of_every_set(studied):
    workdir, fields = studied
    assert [size["per_class"] for size in fields["sizes"]] == list(SIZES)
    for size in fields["sizes"]:
        arms = [row["arm"] for row in size["rows"]]
        assert arms == ["real", "real, augmented", *small_study().own.synthetic_arms]
        assert all(len(row["accuracies"]) == 2 for row in size["rows"])
        assert size["synthetic"] == 20
        real, ours = (size["chosen"][group]["tried"] for group in ("real", "synthetic"))
        assert (len(real), len(ours)) == (1, 2)
        result = rundir.read_json(
            workdir / f"own/{size['per_class']}/0/synthetic/results/classify.json"
        )
        assert result["n_test"] == 359
        settings = size["chosen"]["synthetic"]["settings"]
        assert result["classifier"]["learning_rate"] == settings["learning_rate"]
    assert fields["sentence"].startswith("With 4 images a class, adding 20 synthetic ones to")
    assert (workdir / "figures" / "own.png").exists()


def test_a_study_whose_results_stand_trains_nothing(studied, monkeypatch, capsys):
    workdir, fields = studied
    monkeypatch.setattr(small_runs, "each", lambda *arguments: pytest.fail("something is made"))
    again = own.study(small_study(), workdir)
    assert again["sizes"] == json.loads(json.dumps(fields["sizes"], default=rundir.as_json))
    assert "[own] up to date" in capsys.readouterr().out


def test_the_study_runs_again_for_each_field_that_it_or_a_small_run_has_read(studied):
    workdir, _ = studied
    results = [workdir / "results/own.json", *workdir.glob("own/**/results/*.json")]
    assert (
        len(results) == 1 + 4 * 2 + 3 * 2 + 2 * 3
    )  # own; made; tried on folds; measured and copies
    read = {name for path in results for name in rundir.read_json(path)["reads"]["fields"]}
    known = {name for name, _ in view.leaves(small_study())}
    assert {"optim.learning_rate", "classifier.dropout", "sampling.num_steps"} < read
    # The study gives its runs other arms than the config's, and reads those nowhere.
    expected = read & known - {"classifier.arms"}
    assert fields_that_matter(own.study, small_study(), workdir) == expected


def test_a_result_of_a_small_run_that_changed_makes_the_study_run_again(studied):
    workdir, _ = studied
    path = workdir / "own/4/0/results/export.json"
    before = path.read_text()
    try:
        path.write_text(before + " ")
        why = list(stages.reasons(run_files.open_for("own", small_study(), workdir)))
    finally:
        path.write_text(before)
    assert why == [f"the file {path} is another one"]


def test_the_page_answers_the_question_first(studied):
    workdir, fields = studied
    report.run(small_study(), workdir)
    page = (workdir / "report.html").read_text()
    # A space that does not break follows, on the page.
    assert fields["sentence"].partition(" +-")[0] in page
    assert "A generator of the same few images" in page


def test_no_choice_reads_a_test_image_and_no_run_another_image(tmp_path, monkeypatch):
    """Watched through the digits' loader: test images are read by the last classifiers and copies only."""
    seen = watch(monkeypatch, "train", "validation", "test")
    monkeypatch.setattr(
        datasets,
        "_decoded",
        lambda split, form, memory: source.resize(split, form.image_size, form.channels),
    )
    datasets.forget()
    one = SmallSet(4, 0, 0)
    config = small_study()
    folder = tmp_path / one.folder
    files = run_files.open_for("own", config, tmp_path)
    small_runs.generate(files, small_runs.config_of(config, one), folder)
    work = small_runs.classify("tried/x", {}, ("real+synthetic, augmented",), "validation")
    small_runs.each(files, config, [one], work)
    assert not seen["test"]
    assert len(seen["train"]) + len(seen["validation"]) == 40
    datasets.forget()


def test_a_set_in_use_by_another_process_is_waited_for(config, tmp_path, monkeypatch):
    files = run_files.open_for("own", config, tmp_path)
    sets = [SmallSet(4, 0), SmallSet(4, 1)]
    held = lock.owned(tmp_path / sets[0].folder / "in_use")
    held.__enter__()
    monkeypatch.setattr(small_runs.time, "sleep", lambda seconds: held.__exit__(None, None, None))
    done = []

    def work(files, config, folder):
        done.append(config.seed)
        return config.seed

    assert small_runs.each(files, config, sets, work) == [0, 1]
    assert done == [1, 0]


def test_several_jax_processes_are_refused(config, tmp_path, monkeypatch):
    monkeypatch.setattr(own.devices, "num_processes", lambda: 2)
    with pytest.raises(ValueError, match="--mode=own goes without --distributed"):
        own.run(config, tmp_path)


def test_copies_of_the_training_images_are_counted(trained_once, config, tmp_path):
    splits = datasets.build_splits(config.data, config.seed)
    made, few = source.decode(splits.train)[:200].copy(), source.decode(splits.validation)[:100]
    made[100:] = few
    npz.save(tmp_path / "made.npz", made, splits.train.labels[:200], splits.train.class_names, {})
    found = copies.run.on(config, tmp_path / "run", tmp_path / "made.npz")
    assert 100 <= found["exact"] < 110  # a few digits are duplicates of each other
    assert found["exact_p_value"] < 1e-6


def test_copies_need_test_images(config):
    few = np.zeros((20, 8, 8, 1), np.uint8)
    with pytest.raises(rundir.Inapplicable, match="at least 99 test images; there are 20"):
        measured_copies.in_pixels(few, few, few, variants.build_sought(config, few))


def test_without_validation_images_no_set_chooses_a_checkpoint(config):
    """A whole small set has none, so "best" could not be found there after all folds were trained."""
    config.sampling.checkpoint = config.sampling.average = "best"
    for one in (SmallSet(4, 0), SmallSet(4, 0, fold=1)):
        sampling = small_runs.config_of(config, one).sampling
        assert (sampling.checkpoint, sampling.average) == ("newest", "ema")
    config.sampling.checkpoint, config.sampling.average = "500", "0.1"
    sampling = small_runs.config_of(config, SmallSet(4, 0)).sampling
    assert (sampling.checkpoint, sampling.average) == ("500", "0.1")


def test_few_test_images_leave_copies_out_and_nothing_else(config, tmp_path, monkeypatch):
    """The study once ended here, after all its trainings, with no result."""

    def few(files, config, sets, work):
        raise rundir.Inapplicable("there are 60")

    monkeypatch.setattr(small_runs, "each", few)
    files = run_files.open_for("own", config, tmp_path)
    found = own.copied(config, files, [SmallSet(4, 0)])
    assert found == {"share": None, "why": "there are 60"}
    size = {"per_class": 4, "synthetic": 20, "copies": found}
    assert shown.copies(size) == ["-", "not judged: there are 60", "-"]
    size["copies"] = {"n": 30, "share": 0.5, "expected_share": 0.01}
    assert shown.copies(size) == ["30", "50.0", "1.0"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("own.num_sets", 1, r"own\.num_sets is 1; an interval needs at least 2"),
        ("classifier.num_seeds", 1, r"classifier\.num_seeds is 1; an interval needs"),
        ("own.real_arms", (), r"own\.real_arms is \(\); it must hold 'real, augmented'"),
        ("own.judge", "synthetic, soft", r"own\.judge is 'synthetic, soft'; it must be one of"),
        ("own.judge", "synthetic", "it must add synthetic images to augmented training"),
        ("own.real_arms", ("real, augmented", "reel"), "'reel' is no arm"),
        ("own.sizes", (4, 2000), r"own\.sizes has 2000, wanted \d to \d+, the real images"),
        ("own.sizes", (1,), r"own\.sizes has 1, wanted \d to \d+"),
        ("own.num_folds", 0, r"own\.num_folds is 0, wanted at least 2"),
        (
            "data.per_class",
            30,
            r"data\.per_class is 30, and --mode=own draws its small sets from all",
        ),
        ("training.start_from", "runs/x", "'runs/x', whose model has seen other images"),
        (
            "sampling.classifier_scale",
            1.0,
            r"classifier_scale is 1, and --mode=own trains no guides",
        ),
    ],
)
def test_a_study_that_cannot_answer_is_refused_before_anything_is_trained(
    config, tmp_path, monkeypatch, field, value, message
):
    monkeypatch.setattr(small_runs, "each", lambda *arguments: pytest.fail("something is trained"))
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        own.study(config, tmp_path)


def test_a_file_system_without_locks_ends_a_study(config, tmp_path, monkeypatch):
    """It once took every set for one that another process works on, and waited for it."""

    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(small_runs.time, "sleep", lambda seconds: pytest.fail("it waits"))
    files = run_files.open_for("own", config, tmp_path)
    with pytest.raises(lock.NoLocks, match="cannot be locked on this file system"):
        small_runs.each(files, config, [SmallSet(4, 0)], lambda *arguments: None)


def test_all_images_stand_at_their_number_in_the_plot_and_have_no_draw(
    studied, monkeypatch, tmp_path
):
    _, fields = studied
    (few, *_), drawn = fields["sizes"], []
    every = {**few, "per_class": 0, "images_per_class": 144}
    lines = shown.plots.lines

    def noted(curves, **about):
        drawn.append(curves)
        return lines(curves, **about)

    monkeypatch.setattr(shown.plots, "lines", noted)
    shown.plot({**fields, "sizes": [every, few]})
    (curves,) = drawn
    assert {tuple(curve.x) for curve in curves.values()} == {(few["per_class"], 144)}
    tables = [item for item in shown.section(tmp_path, {"own": {**fields, "sizes": [every, few]}})]
    assert 'At "all", every set is the same images' in tables[0].caption
    plain = shown.section(tmp_path, {"own": fields})
    assert "every set is the same images" not in plain[0].caption


def test_the_page_says_where_no_settings_were_chosen(studied, tmp_path):
    _, fields = studied
    captions = [shown.section(tmp_path, {"own": fields})[-1].caption]
    for size in fields["sizes"]:
        given = {name: {**found, "tried": []} for name, found in size["chosen"].items()}
        fields = {**fields, "sizes": [{**size, "chosen": given}]}
    captions.append(shown.section(tmp_path, {"own": fields})[-1].caption)
    assert ["held-out folds" in caption for caption in captions] == [True, False]


def test_the_sentence_counts_the_images_that_were_added():
    results = [{"arms": {"a": {"n_synthetic": number}}} for number in (17, 20)]
    assert small_sets.num_synthetic(results, "a") == 18
