"""`optim.averages` and `sampling.average`: averages that are chosen after the training."""

import shutil

import jax
import numpy as np
import pytest

from ddpm_jax import metrics, rundir
from ddpm_jax.jobs import export, train
from ddpm_jax.models import checkpoint_choice, trained
from ddpm_jax.training import manifest

WIDTHS = (0.1, 0.2)


@pytest.fixture
def averaging(config):
    config.optim.averages = WIDTHS
    return config


@pytest.fixture
def workdir(averaging, made_once, tmp_path):
    def make(folder):
        train.run(averaging, folder)

    return shutil.copytree(made_once("averaging", make), tmp_path / "averaging")


def weights(config, workdir, average):
    config.sampling.average = average
    return trained.load_model(config, rundir.checkpoints(workdir)).weights.net


def equal(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), one, other))


def test_each_average_can_be_sampled_and_the_best_is_one_of_them(averaging, workdir):
    found = {name: weights(averaging, workdir, name) for name in ("ema", "0.1", "0.2")}
    assert not equal(found["ema"], found["0.1"]) and not equal(found["0.1"], found["0.2"])
    folder = rundir.checkpoints(workdir) / "6"
    facts = manifest.read(folder)
    last = metrics.read(workdir / "metrics.jsonl")
    [line] = [line for line in last if line["step"] == 6 and "validation_loss" in line]
    losses = facts["extra"][checkpoint_choice.LOSSES]
    assert losses == {
        "ema": line["validation_loss"],
        "0.1": line["validation_loss_0.1"],
        "0.2": line["validation_loss_0.2"],
    }
    facts["extra"][checkpoint_choice.LOSSES] = losses | {"0.2": 0.0}
    manifest.write(folder, facts)
    assert equal(weights(averaging, workdir, "best"), found["0.2"])


def test_a_set_is_drawn_again_for_another_average(averaging, workdir):
    first = export.run(averaging, workdir)
    averaging.sampling.average = "0.1"
    assert export.run(averaging, workdir)["image_sha256"] != first["image_sha256"]


def test_a_resumed_training_ends_in_the_same_averages(averaging, workdir):
    before = {name: weights(averaging, workdir, name) for name in ("0.1", "0.2")}
    shutil.rmtree(rundir.checkpoints(workdir) / "6")
    (workdir / "results/train.json").unlink()
    averaging.sampling.average = "ema"
    assert train.run(averaging, workdir)["resumed_at"] == 3
    for name, wanted in before.items():
        assert equal(weights(averaging, workdir, name), wanted)


def test_what_a_checkpoint_does_not_have_is_refused(config, model):
    with pytest.raises(
        ValueError, match=r"sampling.average is '0.1'; .* step 6 has ema; optim.averages"
    ):
        weights(config, model, "0.1")
    with pytest.raises(
        ValueError, match=r"is 'best', and the checkpoint of step 6 has no validation"
    ):
        weights(config, model, "best")


def test_equal_widths_are_refused(config, tmp_path):
    config.optim.averages = (0.1, 0.1)
    with pytest.raises(
        ValueError, match=r"optim.averages is \(0.1, 0.1\), wanted different widths"
    ):
        train.run(config, tmp_path)
