"""What can be done with a trained model besides the chain: files, numbers, refusals; every option once."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tiny_run import work

from ddpm_jax import run_files
from ddpm_jax.assembly import datasets, denoising, networks
from ddpm_jax.data import source
from ddpm_jax.diffusion import schedules, solvers
from ddpm_jax.evaluation import worth
from ddpm_jax.jobs import (
    analyze,
    denoise,
    inpaint,
    interpolate,
    plan,
    reconstruct,
    report,
    sample,
    sweep,
    train,
    train_guide,
)
from ddpm_jax.measuring import labelled
from ddpm_jax.models import edited, trained


def result(workdir, mode):
    return json.loads((workdir / "results" / f"{mode}.json").read_text())


def size(workdir, name):
    with Image.open(workdir / "figures" / name) as picture:
        return picture.size


def test_denoise_comes_back_nearer_the_less_it_noised(config, model):
    config.editing.starts = (0.25, 1.0)
    config.editing.num_images = 4
    denoise.run(config, model)
    found = result(model, "denoise")
    assert found["from"] == "digits" and found["n"] == 4
    few, all_of_it = found["likeness_by_t"].values()
    assert few["psnr"] > all_of_it["psnr"]
    assert size(model, "denoise.png")[0] > 200


def test_denoise_shows_the_noised_image_that_it_starts_from(config, monkeypatch):
    """A solver that leaves x as it is ends where it began."""
    still = solvers.Solver(lambda x: (), lambda denoise, carry, x, now, nxt, keys: (x, carry))
    monkeypatch.setattr(denoising, "build_solver", lambda *arguments: still)
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    model = trained.Model(net, denoising.Weights({}), table, tuple("0123456789"), {"step": 1})
    original = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    program = edited.build_denoise(config, model, 0.5)
    _, shown, ended = edited.denoise(config, model, original, np.arange(3), program)
    np.testing.assert_array_equal(shown, ended)
    assert np.abs(shown.astype(int) - original).mean() > 10


def test_interpolate_mixes_pairs_of_other_classes(config, model):
    config.editing.num_images = 5
    interpolate.run(config, model)
    found = result(model, "interpolate")
    assert found["pairs"] == 2 and 0 < found["t"] <= 20
    config.editing.num_images = 1
    with pytest.raises(ValueError, match="num_images is 1; a pair needs 2"):
        interpolate.run(config, model)


def test_a_mix_has_no_label_unless_the_network_was_trained_with_labels_only(config, model):
    found = trained.load_model(config, model / "checkpoints")
    labels, weights = np.array([[3], [5]]), np.array([0.0, 0.6])
    assert edited.label_of_mix(config, found, labels, weights).tolist() == [10, 10]
    config.loss.label_dropout = 0.0
    assert edited.label_of_mix(config, found, labels, weights).tolist() == [3, 5]


def test_inpaint_leaves_known_pixels_as_they_are(config, model):
    config.editing.num_images = 2
    config.editing.num_resamples = 2
    inpaint.run(config, model)
    assert result(model, "inpaint")["largest_change_of_a_known_pixel"] == 0


def test_every_hole_is_where_its_name_says():
    unknown = {
        hole: inpaint.build_mask(hole, 8)[..., 0] == 0 for hole in ("center", "right", "bottom")
    }
    assert unknown["center"][2:6, 2:6].all() and unknown["center"].sum() == 16
    assert unknown["right"][:, 4:].all() and unknown["right"].sum() == 32
    assert unknown["bottom"][4:].all() and unknown["bottom"].sum() == 32
    with pytest.raises(ValueError, match=r"editing\.hole is 'left'; known: center, right, bottom"):
        inpaint.build_mask("left", 8)


def test_reconstruct_finds_the_way_back(config, model):
    config.editing.num_images = 2
    config.sampling.num_steps = 20
    reconstruct.run(config, model)
    # A network trained for six steps is smooth, and Heun's method follows it closely.
    assert result(model, "reconstruct")["mean_absolute_error"] < 5


def test_editing_takes_images_from_the_split_it_names(config):
    splits = datasets.build_splits(config.data, config.seed)
    for split in ("validation", "test"):
        config.editing.split = split
        found = datasets.examples(config)
        held = source.decode(getattr(splits, split))
        assert found.labels.tolist() == list(range(8))
        for image in source.decode(found):
            assert (held == image).all(axis=(1, 2, 3)).any()
    config.editing.split = "train"
    with pytest.raises(ValueError, match=r"editing\.split is 'train'; known: validation, test"):
        datasets.examples(config)


def test_analyze_without_a_model_looks_at_data_and_noise(config, tmp_path, capsys):
    config.augment.flip = True
    analyze.run(config, tmp_path)
    found = result(tmp_path, "analyze")
    assert sum(found["images_by_class"]["train"].values()) == 1258
    assert found["loss_by_t"] is None
    assert "class" in capsys.readouterr().out
    for name in ("balance", "originals", "augmented", "copies", "schedule", "forward_chain"):
        assert size(tmp_path, f"{name}.png")
    # Step by step as at once (Ho et al. 2020, eq. 4), over 64 images of 64 pixels.
    for at in found["forward_chain"].values():
        assert at["mean_by_steps"] == pytest.approx(at["mean_at_once"], abs=0.06)
        assert at["std_by_steps"] == pytest.approx(at["std_at_once"], rel=0.05, abs=1e-3)


def test_analyze_without_validation_images_measures_no_loss(config, model, capsys):
    config.data.num_folds, config.data.fold = 5, -1
    found = analyze.run(config, model)
    assert found["loss_by_t"] is None and size(model, "forward_chain.png")
    assert "no loss by level: there are no validation images" in capsys.readouterr().out


def test_analyze_with_a_model_measures_its_loss_by_level(config, model):
    analyze.run(config, model)
    losses = result(model, "analyze")["loss_by_t"]
    errors = [at["x0"] for at in losses.values()]
    assert errors[0] < errors[-1]  # the more noise, the less is known of the image
    assert size(model, "loss_by_level.png")


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_sweep_shows_every_pair(config, model):
    config.sweep.guidance_scales = (1.0, 3.0)
    config.sweep.samplers = ("ddim:2", "dpm_solver_pp_2m:3")
    sweep.run(config, model)
    assert result(model, "sweep")["points"] is None
    assert size(model, "sweep.png")[1] > 4 * 64


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_sweep_measures_every_pair(config, model):
    config.sweep.guidance_scales = (1.0,)
    config.sweep.samplers = ("ddim:1", "ddim:4", "heun:2:karras")
    config.sweep.num_images = 60
    config.sweep.num_seeds = 2
    sweep.run(config, model)
    found = result(model, "sweep")
    assert [(row["solver"], row["num_steps"], row["spacing"]) for row in found["points"]] == [
        ("ddim", 1, "uniform"),
        ("ddim", 4, "uniform"),
        ("heun", 2, "karras"),
    ]
    name = "frechet_conv4_to_validation"
    assert found["distance"] == name and found["n"] == 60
    assert (found["n_reference"], found["reference"]) == (180, "validation split of digits")
    assert len({row[name] for row in found["points"]}) == 3
    assert all(0 <= row["accuracy"] <= 1 for row in found["points"])
    assert size(model, "sweep-distance.png") and size(model, "sweep-accuracy.png")
    report.run(config, model)
    page = (model / "report.html").read_text()
    assert "Solvers, steps and guidance" in page and "dpm_solver" not in page and "heun" in page


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_a_sweep_with_several_sets_of_noise_has_intervals_over_them(config, model):
    config.sweep.guidance_scales = (1.0,)
    config.sweep.samplers = ("ddim:2",)
    config.sweep.num_images = 60
    sweep.run(config, model)
    (alone,) = result(model, "sweep")["points"]
    config.sweep.num_noises, config.sweep.num_seeds = 3, 2
    sweep.run(config, model)
    (row,) = result(model, "sweep")["points"]
    name = "frechet_conv4_to_validation"
    assert row["distances"][0] == alone[name] and len(set(row["distances"])) == 3
    mean, half_width = worth.mean_interval(np.array(row["distances"]), 0)
    assert (row[name], row["distance_ci95"]) == (pytest.approx(mean), pytest.approx(half_width))
    assert "accuracy" in row
    report.run(config, model)
    page = (model / "report.html").read_text()
    assert "each of the same 3 sets of noise" in page
    config.sweep.num_noises = 0
    with pytest.raises(ValueError, match=r"sweep\.num_noises is 0, wanted at least 1"):
        sweep.run(config, model)


def test_a_sampler_without_a_number_of_steps_is_refused(config, model):
    for sampler in ("ddim", "ddim:few", "ddim:5:uniform:again"):
        config.sweep.samplers = (sampler,)
        with pytest.raises(ValueError, match=rf"has '{sampler}', wanted SOLVER:STEPS"):
            sweep.run(config, model)


def test_an_interrupted_sweep_resumes(config, model, monkeypatch):
    config.sweep.guidance_scales = (1.0,)
    config.sweep.samplers = ("ddim:1", "ddim:2")
    config.sweep.num_images = 20
    measured, broken = [], [True]

    def build_measure(config, files, model):
        def measure(sets):
            measured.append(len(sets[0].label))
            if len(measured) == 2 and broken:
                raise KeyboardInterrupt
            return {"far": float(len(measured))}

        return measure, {"distance": "far"}

    monkeypatch.setattr(sweep, "build_measure", build_measure)
    monkeypatch.setattr(sweep.sweeps, "draw", lambda *arguments: None)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(config, model)
    broken.clear()
    found = sweep.run(config, model)
    assert [row["far"] for row in found["points"]] == [1.0, 3.0] and measured == [20, 20, 20]


def test_labels_are_numbered_as_the_model_numbers_its_classes():
    net = types.SimpleNamespace(num_classes=2)
    real = source.from_arrays(
        np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1], np.int32), ["1", "3"], "real"
    )

    def labels(*names):
        model = trained.Model(net, None, None, names, {})
        return trained.own_labels(model, real).tolist()

    assert labels("1", "3") == [0, 1, 1] and labels("3", "1") == [1, 0, 0]
    assert labels("3", "2", "1") == [2, 0, 0]
    assert labels("0", "1") == [0, 1, 1]  # an import without names
    with pytest.raises(
        ValueError, match=r"the model's classes are all, and those of real are 1, 3"
    ):
        labels("all")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss.label_dropout": 0.0}, r"a guidance scale of 4 .*loss\.label_dropout = 0"),
        ({"net.class_conditional": False}, r"a guidance scale of 4 .*class_conditional is False"),
        ({"sweep.samplers": ("ddim:2", "edm_stochastic:2:karras")}, "churn 0.5; wanted from 0 to"),
    ],
)
def test_a_sweep_is_refused_before_its_first_image(config, tmp_path, monkeypatch, fields, message):
    """The last pair is what is wrong here."""
    config.sweep.guidance_scales = (1.0, 4.0)
    config.sampling.churn = 0.5
    config.update_from_flattened_dict(fields)
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    found = trained.Model(net, denoising.Weights({}), table, tuple("0123456789"), {"step": 1})
    monkeypatch.setattr(run_files.Files, "checkpoints", lambda files: files.workdir)
    monkeypatch.setattr(trained, "load_model", lambda *arguments: found)
    monkeypatch.setattr(labelled, "Labelled", None)
    with pytest.raises(ValueError, match=message):
        work(sweep.run, config, tmp_path)


@pytest.mark.parametrize(("job", "begin"), [(train, train.run), (plan, plan.plan)])
def test_train_and_plan_warn_of_a_schedule_that_does_not_end_in_noise(
    config, tmp_path, monkeypatch, capsys, job, begin
):
    class Reached(Exception):
        pass

    class Parts:
        programs = types.SimpleNamespace(table=schedules.linear(20))

        def __getattr__(self, name):
            raise Reached

    config.schedule.name = "linear"
    monkeypatch.setattr(job.training, "build_parts", lambda config: Parts())
    with pytest.raises(Reached):
        begin(config, tmp_path, *[None] * (job is plan))
    assert "warning: schedule.name 'linear' of 20 steps ends at" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("noised", [True, False])
def test_a_classifier_guides_samples_towards_its_class(config, model, noised):
    config.guide.noised = noised
    config.guide.num_steps = 60
    train_guide.run(config, model)
    accuracies = list(result(model, "train_guide")["accuracy_by_t"].values())
    assert accuracies[0] > 0.2  # of ten classes
    if noised:
        assert accuracies[0] > accuracies[-1]

    def confidence(scale):
        config.sampling.classifier_scale = scale
        found = trained.load_model(config, model / "checkpoints")
        label = jnp.arange(10)
        keys = jax.random.split(jax.random.key(0), 10)
        made = denoising.build_sampler(config, found.net, found.table)(found.weights, label, keys)
        guide = trained.load_guide(config, model / "guide", 10)
        judge = denoising.guides.build_log_prob(config.guide, guide, label, lambda x, level: None)
        if not noised:
            net = denoising.guides.build_net(config.guide, 10)
            scores = jax.nn.log_softmax(net.apply(guide, made))
            return np.mean(np.asarray(scores)[np.arange(10), np.arange(10)])
        return np.mean(judge(made, found.table[0]))

    assert confidence(5.0) > confidence(0.0)


def test_guidance_without_its_classifier_says_how_to_train_it(config, model):
    config.sampling.classifier_scale = 1.0
    with pytest.raises(FileNotFoundError, match="--mode=train_guide"):
        sample.run(config, model)
