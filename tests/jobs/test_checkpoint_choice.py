"""`sampling.checkpoint`: which of a run's checkpoints images are drawn from."""

import json
import shutil

import numpy as np
import pytest

from ddpm_jax import rundir
from ddpm_jax.jobs import denoise, export, sample, train
from ddpm_jax.models import trained
from ddpm_jax.training import loop, manifest, retention


def loss_of(workdir, step, loss):
    """Change the validation loss that a checkpoint's manifest states, and its checksums with it."""
    folder = rundir.checkpoints(workdir) / str(step)
    manifest.write(folder, manifest.read(folder) | {"validation_loss": loss})


def exported(config, workdir, checkpoint):
    config.sampling.checkpoint = checkpoint
    made = export.run(config, workdir)
    return made["checkpoint"], made["image_sha256"]


def test_newest_best_and_a_step_that_is_named(config, model):
    """The tiny run has checkpoints of steps 3 and 6."""
    loss_of(model, 3, 0.1)
    loss_of(model, 6, 0.2)
    newest, best, third, sixth = (
        exported(config, model, name) for name in ("newest", "best", "3", "6")
    )
    assert (newest[0], best[0]) == (6, 3)
    assert best == third and newest == sixth and best[1] != newest[1]
    meta = json.loads(str(np.load(rundir.synthetic(model))["meta"]))
    assert meta["checkpoint"] == 6


def test_a_set_of_the_same_step_is_not_made_again(config, model, capsys):
    exported(config, model, "newest")
    exported(config, model, "6")
    assert "[export] up to date" in capsys.readouterr().out


def test_pictures_are_made_again_for_another_checkpoint(config, model):
    assert sample.run(config, model)["checkpoint"] == 6
    config.sampling.checkpoint = "3"
    assert sample.run(config, model)["checkpoint"] == 3
    config.editing.num_images, config.editing.starts = 2, (0.5,)
    assert denoise.run(config, model)["checkpoint"] == 3


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("5", FileNotFoundError, "holds no checkpoint of step 5; there are 3, 6"),
        ("last", ValueError, "is 'last', wanted 'newest', 'best' or a step"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_refused(config, model, wanted, error, message):
    config.sampling.checkpoint = wanted
    for job in (sample, export):
        with pytest.raises(error, match=message):
            job.run(config, model)


def test_the_best_of_checkpoints_without_a_validation_loss_is_refused(config, model):
    for step in (3, 6):
        loss_of(model, step, None)
    config.sampling.checkpoint = "best"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .* has a validation loss"):
        trained.load_model(config, rundir.checkpoints(model))


def test_a_named_checkpoint_that_is_damaged_is_not_replaced_by_another(config, model):
    folder = rundir.checkpoints(model) / "6" / "ema_params"
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    config.sampling.checkpoint = "6"
    with pytest.raises(manifest.Damaged, match=r"checkpoint 6 .* was altered"):
        trained.load_model(config, rundir.checkpoints(model))
    config.sampling.checkpoint = "newest"
    assert trained.load_model(config, rundir.checkpoints(model)).facts["step"] == 3


def test_without_any_checkpoint_training_is_named(config, model):
    shutil.rmtree(rundir.checkpoints(model))
    with pytest.raises(FileNotFoundError, match="holds no checkpoint; run --mode=train first"):
        sample.run(config, model)


def test_what_an_interruption_saves_is_not_the_best(config, tmp_path, monkeypatch):
    """An uninterrupted run has no checkpoint of that step, and must draw the same images."""
    config.training.eval_every, config.training.save_every = 1, 3
    run = loop.run
    monkeypatch.setattr(
        loop, "run", lambda *arguments, **named: run(*arguments, **named | {"num_steps": 2})
    )
    with pytest.raises(SystemExit):
        train.run(config, tmp_path)
    (facts,) = retention.sound(rundir.checkpoints(tmp_path)).values()
    assert (facts["step"], facts["validation_loss"]) == (2, None)
