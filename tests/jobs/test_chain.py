"""The stages one after another on real digits: what they leave, what they skip, what they refuse."""

import importlib
import json

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddpm_jax import metrics, rundir
from ddpm_jax.assembly import optimizers
from ddpm_jax.data import source
from ddpm_jax.jobs import classify, compare, evaluate, export, sample, train

JOBS = (train, sample, export, evaluate, classify, compare)


def result(workdir, mode):
    return json.loads((workdir / "results" / f"{mode}.json").read_text())


def test_the_chain_leaves_what_the_contract_says(finished, config, capsys):
    found = result(finished, "train")
    assert found["step"] == 6
    assert len(found["params_sha256"]) == len(found["ema_sha256"]) == 64
    assert found["params_sha256"] != found["ema_sha256"]
    assert found["seconds"] > 0 and found["images_per_second"] > 0
    assert np.isfinite(found["validation_loss"])

    lines = metrics.read(finished / "metrics.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == [4, 6]
    assert [line["step"] for line in lines if "validation_loss" in line] == [3, 6]
    assert lines[-1]["validation_loss"] == found["validation_loss"]

    for name in ("classes.png", "reverse.png", "forward.png", "reverse.gif", "arms.png"):
        with Image.open(finished / "figures" / name) as picture:
            picture.load()
    assert (finished / "figures/samples/0000006.png").exists()
    shown = EventAccumulator(str(finished)).Reload()
    assert "samples" in shown.Tags()["images"] and "config/text_summary" in shown.Tags()["tensors"]
    rates = {event.step: event.value for event in shown.Scalars("train/learning_rate")}
    rate = optimizers.build_rate(config.optim, config.training.num_steps)
    assert rates == pytest.approx({4: float(rate(3)), 6: float(rate(5))})

    with np.load(finished / "synthetic.npz", allow_pickle=False) as made:
        assert made["image"].dtype == np.uint8 and made["image"].shape == (100, 8, 8, 1)
        assert made["label"].dtype == np.int32 and np.bincount(made["label"]).tolist() == [10] * 10
        assert made["class_names"].tolist() == [str(digit) for digit in range(10)]
        meta = json.loads(str(made["meta"]))
    assert meta["checkpoint"] == 6 and meta["seed"] == 0
    assert (meta["solver"], meta["num_steps"], meta["guidance_scale"]) == ("ddim", 4, 1.0)

    arms = result(finished, "classify")["arms"]
    assert list(arms) == list(config.classifier.arms)
    sizes = {arm: fields["n_train"] for arm, fields in arms.items()}
    assert sizes["real+synthetic"] == sizes["real"] + sizes["synthetic"]
    assert sizes["real+synthetic"] == sizes["real+duplicated"] == sizes["real+augmented"]
    for fields in arms.values():
        assert 0 <= fields["accuracy"] <= 1 and fields["ci95"] >= 0 and fields["seeds"] == 2
        assert np.shape(fields["confusion"]) == (10, 10)
    assert "frechet_conv4" in result(finished, "evaluate")
    assert "synthetic-only" in result(finished, "compare")["sentence"]


def test_finished_stages_are_skipped(finished, config, capsys):
    capsys.readouterr()
    for job in JOBS[:-1]:
        job.run(config, finished)
    assert capsys.readouterr().out.count("up to date") == len(JOBS) - 1


def test_what_depends_on_a_changed_field_is_made_again_and_nothing_else(finished, config, capsys):
    capsys.readouterr()
    config.sampling.guidance_scale = 2.0
    for job in JOBS[:3]:
        job.run(config, finished)
    said = capsys.readouterr().out
    assert "[train] up to date" in said
    assert "[sample] up to date" not in said and "[export] up to date" not in said


def test_another_model_in_the_same_directory_is_refused_with_the_differing_fields(finished, config):
    config.net.base_channels = 16
    for job in (train, sample, export):
        with pytest.raises(ValueError, match=r"net\.base_channels: was 8, is 16"):
            job.run(config, finished)


def test_what_was_drawn_from_a_model_of_other_fields_is_refused_though_it_stands(finished, config):
    config.optim.beta1 = 0.8  # the training alone reads it
    for job in (train, sample, export):
        with pytest.raises(ValueError, match=r"optim\.beta1: was 0\.9, is 0\.8"):
            job.run(config, finished)


def test_changed_training_images_are_refused(config, model, monkeypatch):
    (model / "results/train.json").unlink()
    monkeypatch.setattr(source, "fingerprint", lambda source: "another")
    with pytest.raises(ValueError, match=r"training images have changed.*is another"):
        train.run(config, model)


@pytest.mark.parametrize("job", [sample, export])
def test_a_job_that_needs_a_model_says_how_to_make_one(config, tmp_path, job):
    with pytest.raises(FileNotFoundError, match="--mode=train"):
        job.run(config, tmp_path)


@pytest.mark.parametrize(
    ("job", "missing"), [(evaluate, "--mode=export"), (classify, "--mode=export")]
)
def test_a_job_that_needs_images_says_how_to_make_them(config, tmp_path, job, missing):
    with pytest.raises(FileNotFoundError, match=missing):
        job.run(config, tmp_path)


def test_every_mode_is_a_job():
    for mode in (*rundir.CHAIN, *rundir.OTHERS):
        assert hasattr(importlib.import_module(rundir.job(mode)), "run")


@pytest.mark.long
def test_a_non_finite_loss_stops_the_run_naming_the_step(config, tmp_path):
    config.optim.learning_rate = 1e30
    config.optim.warmup_steps = 0
    config.optim.clip_norm = 0.0
    with pytest.raises(FloatingPointError, match=r"step [1-5]\b"):
        train.run(config, tmp_path)
    assert not (tmp_path / "results/train.json").exists()
