"""The classifier that guides: resumed after an interruption, and part of what samples are made from."""

import numpy as np
import pytest

from ddpm_jax import run_files, rundir
from ddpm_jax.jobs import export, sample, train_guide
from ddpm_jax.models import trained
from ddpm_jax.training import devices, fingerprint, loop, signals

pytestmark = pytest.mark.usefixtures("compiled_quickly")


@pytest.fixture
def config(config):
    config.guide.num_steps = 6
    config.guide.batch_size = 32
    config.training.save_every = 2
    return config


def weights(config, workdir):
    return fingerprint.sha256(trained.load_guide(config, workdir / "guide", 10))


@pytest.mark.slow
def test_an_interrupted_guide_resumes_and_ends_with_the_same_bits(config, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_guide.run(config, whole)
    run = loop.run

    def killed(*arguments, **options):
        run(*arguments, **options | {"num_steps": 4})
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        train_guide.run(config, broken)
    with pytest.raises(FileNotFoundError, match=r"no classifier of 6 steps \(found: 4\)"):
        weights(config, broken)
    begun = []

    def noted(step, state, *arguments, **options):
        begun.append(int(state.step))
        return run(step, state, *arguments, **options)

    monkeypatch.setattr(loop, "run", noted)
    train_guide.run(config, broken)
    assert begun == [4]
    assert weights(config, broken) == weights(config, whole)
    train_guide.run(config, broken)
    assert begun == [4]


@pytest.mark.slow
def test_a_guide_that_is_not_finished_or_of_other_fields_does_not_guide(
    config, tmp_path, monkeypatch
):
    """With the steps themselves left out."""
    ends = iter([4, 6])

    def leap(step, state, *arguments, **options):
        return state.replace(step=state.step * 0 + next(ends))

    monkeypatch.setattr(loop, "run", leap)
    with pytest.raises(SystemExit) as stopped:
        train_guide.run(config, tmp_path)
    assert stopped.value.code == signals.STOPPED
    config.sampling.classifier_scale = 2.0
    with pytest.raises(FileNotFoundError, match=r"no classifier of 6 steps \(found: 4\)"):
        run_files.check_guide(config, tmp_path)
    train_guide.run(config, tmp_path)
    run_files.check_guide(config, tmp_path)
    config.guide.learning_rate = 3e-2
    other = r"was trained with other fields(.|\n)*guide\.learning_rate: was 0\.001, is 0\.03"
    with pytest.raises(ValueError, match=other):
        run_files.check_guide(config, tmp_path)


def without_steps(monkeypatch):
    def leap(step, state, *arguments, num_steps, **options):
        return state.replace(step=state.step * 0 + num_steps)

    monkeypatch.setattr(loop, "run", leap)


def test_processes_agree_that_a_guide_is_of_other_fields(config, tmp_path, monkeypatch):
    """One that looks late finds it removed already, and still has to meet the others."""
    met, meet = [], devices.barrier

    def barrier(name):
        met.append(name)
        meet(name)

    without_steps(monkeypatch)
    monkeypatch.setattr(devices, "in_any", lambda fact: True)
    monkeypatch.setattr(devices, "barrier", barrier)
    train_guide.run(config, tmp_path)
    assert "guide" in met


def test_a_guide_without_validation_images_is_finished_and_not_measured(
    config, tmp_path, monkeypatch, capsys
):
    without_steps(monkeypatch)
    config.data.num_folds, config.data.fold = 5, -1
    found = train_guide.run(config, tmp_path)
    assert (found["accuracy_by_t"], found["measured_on"], found["n"]) == (None, None, 0)
    assert rundir.result(tmp_path, "train_guide")["accuracy_by_t"] is None
    assert "no validation images, so the accuracy is not measured" in capsys.readouterr().out
    assert not rundir.figures(tmp_path).exists()
    run_files.check_guide(config, tmp_path)


def test_a_guide_that_is_saved_every_0_steps_is_refused_before_its_training(
    config, tmp_path, monkeypatch
):
    without_steps(monkeypatch)
    config.training.save_every = 0
    with pytest.raises(ValueError, match=r"training\.save_every is 0; wanted at least 1, or more"):
        train_guide.run(config, tmp_path)
    assert not (tmp_path / "guide/6").exists()


@pytest.mark.slow
def test_another_guide_makes_samples_and_exports_stale(config, model):
    config.sampling.classifier_scale = 2.0
    for job in (sample, export):
        with pytest.raises(FileNotFoundError, match="--mode=train_guide"):
            job.run(config, model)
    train_guide.run(config, model)
    export.run(config, model)
    before = np.load(rundir.synthetic(model))["image"]
    config.guide.learning_rate = 3e-2
    with pytest.raises(ValueError, match="was trained with other fields"):
        export.run(config, model)
    train_guide.run(config, model)
    export.run(config, model)
    assert not np.array_equal(np.load(rundir.synthetic(model))["image"], before)


def test_without_a_scale_no_guide_is_asked_for(config, model):
    files = run_files.open_for("sample", config, model)
    files.checkpoints()
    assert list(files.notes.files) == [run_files.CHECKPOINT]
