"""What can go wrong with a run: each with what is said about it, and what is left of the run."""

import ast
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_run import ROOT

from ddpm_jax import metrics, rundir
from ddpm_jax.assembly import datasets, reproduction, training
from ddpm_jax.data import digits, npz
from ddpm_jax.jobs import export, replay, train
from ddpm_jax.models import trained
from ddpm_jax.training import checkpoints, lock, manifest, nonfinite

EXPLODING = {
    "optim.learning_rate": 1e38,
    "optim.clip_norm": 0.0,
    "optim.warmup_steps": 0,
    "optim.schedule": "constant",
}


def flip_a_bit(folder):
    """In the middle of its largest file."""
    path = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unfinished(model):
    """The run again, from its checkpoint at step 3, all that came later undone."""
    shutil.rmtree(model / "checkpoints" / "6")
    (model / "results/train.json").unlink()
    return model


def test_a_bit_that_flipped_and_a_clock_that_goes_back_change_nothing_in_the_end(
    config, model, caplog, monkeypatch
):
    before = rundir.result(model, "train")
    lines = (model / "metrics.jsonl").read_bytes()
    (model / "results/train.json").unlink()
    flip_a_bit(model / "checkpoints" / "6")
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    with caplog.at_level(logging.WARNING):
        after = train.run(config, model)
    [passed_over] = [text for text in caplog.messages if "passed over" in text]
    assert passed_over.startswith("checkpoint 6 is passed over: ") and "\n" not in passed_over
    assert after["resumed_at"] == 3
    for name in ("params_sha256", "ema_sha256", "validation_loss"):
        assert after[name] == before[name]
    assert (model / "metrics.jsonl").read_bytes() == lines
    assert (model / "checkpoints" / "6.damaged-1").exists()


def test_no_good_checkpoint_is_an_error_and_no_fresh_start(config, model):
    (model / "results/train.json").unlink()
    for step in (3, 6):
        flip_a_bit(model / "checkpoints" / str(step))
    with pytest.raises(checkpoints.NoGoodCheckpoint, match="none of the checkpoints in"):
        train.run(config, model)
    assert not (model / "results/train.json").exists()


def test_nothing_but_names_and_event_files_asks_what_time_it_is():
    asked = {"time.time", "time.time_ns", "datetime.datetime.now", "datetime.now"}
    found = {
        str(path.relative_to(ROOT / "ddpm_jax"))
        for path in (ROOT / "ddpm_jax").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in asked
    }
    assert found <= {"training/lock.py", "metrics.py"}


def test_a_full_disk_costs_no_good_checkpoint(config, model, monkeypatch):
    """With a real limit on the size of files: tests/training/test_damage.py."""

    def full(directory, facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", full)
    with pytest.raises(OSError, match=r"checkpoint 6 was not saved.*No space left.*before it is 3"):
        train.run(config, unfinished(model))
    assert [path.name for path in (model / "checkpoints").iterdir()] == ["3"]
    manifest.verify(model / "checkpoints" / "3")


def test_the_second_owner_is_told_of_the_first(config, model):
    with lock.owned(model):
        for job in (train, export):
            with pytest.raises(lock.Locked, match=f"in use by process {os.getpid()} on .* since"):
                job.run(config, model)
        # Whoever only reads is not held up.
        assert trained.load_model(config, model / "checkpoints").facts["step"] == 6


def test_the_lock_of_a_dead_process_is_taken_over(config, model, caplog):
    (model / "lock").write_text('{"host": "gone", "pid": 7, "since": "yesterday"}')
    with caplog.at_level(logging.WARNING):
        train.run(config, model)
    assert "from process 7 on gone since yesterday, which did not end well" in caplog.text


def test_a_read_only_work_directory_is_named(config):
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder)
        workdir.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # root may write everywhere
        try:
            with pytest.raises(PermissionError, match=f"Permission denied: '{workdir}"):
                train.run(config, workdir)
        finally:
            os.seteuid(user)
        assert not list(workdir.iterdir())


def test_another_config_is_refused_with_the_fields_that_differ(config, model):
    config.optim.learning_rate = 0.5
    config.training.log_every = 1  # matters to nothing
    with pytest.raises(ValueError, match=r"optim\.learning_rate: was .*, is 0\.5") as caught:
        train.run(config, model)
    assert "log_every" not in str(caught.value)


def test_images_that_changed_under_a_run_are_refused(config, model, monkeypatch):
    load = digits.load

    def other_pixel(**shares):
        splits = load(**shares)
        images = splits.train.images.copy()
        images[17, 3, 3, 0] ^= 1
        changed = splits.train._replace(images=images, read=lambda i: images[i])
        return splits._replace(train=changed)

    monkeypatch.setattr(digits, "load", other_pixel)
    datasets.forget()
    with pytest.raises(ValueError, match="the training images have changed under this run"):
        train.run(config, unfinished(model))
    datasets.forget()


def test_a_dataset_that_cannot_be_read_is_named(config, tmp_path):
    archive = tmp_path / "images.npz"
    images = np.zeros((40, 8, 8, 1), np.uint8)
    npz.save(archive, images, np.arange(40, dtype=np.int32) % 2, ["a", "b"], {})
    archive.write_bytes(archive.read_bytes()[:-100])
    config.data.source = f"npz:{archive}"
    with pytest.raises(ValueError, match=f"^{archive}") as caught:
        train.run(config, tmp_path / "npz")
    assert "\n" not in str(caught.value)

    for number in range(20):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[0, ..., 0]).save(path)
    path.write_bytes(path.read_bytes()[:40])
    config.data.source = f"folder:{tmp_path / 'images'}"
    config.data.memory_mib = 0  # read as they are asked for
    with pytest.raises(ValueError, match=r"19\.png"):
        train.run(config, tmp_path / "folder")


@pytest.mark.slow
def test_a_step_that_is_not_finite_is_kept_and_can_be_looked_at(config, tmp_path):
    config.update_from_flattened_dict(EXPLODING)
    with pytest.raises(FloatingPointError) as caught:
        train.run(config, tmp_path)
    text = str(caught.value)
    [kept] = (tmp_path / "nonfinite").glob("*.npz")
    assert f"not finite at step {kept.stem} " in text and str(kept) in text
    assert "not finite in gradients: params/" in text and "images " in text
    found = replay.run(config, tmp_path)
    assert found["step"] == int(kept.stem) and not np.isfinite(found["loss"])
    assert found["gradients"] and not found["params"] and not found["batch"]
    assert len(found["places"]) == config.training.batch_size
    assert npz.load(kept).images.shape == (32, 8, 8, 1)
    assert not (tmp_path / "results/train.json").exists()


@pytest.mark.parametrize("kind", ["mse", "scheduled", "consistency"])
def test_a_step_is_found_again_whatever_its_loss_keeps_of_earlier_steps(
    config, tmp_path, monkeypatch, compiled_quickly, kind
):
    """A consistency loss has a past without arrays, of which a checkpoint stores nothing."""
    config.loss.kind = kind
    parts = training.build_parts(config)
    past = jax.tree.map(lambda leaf: leaf + 1, parts.state.past)
    reproduction.keep(config, parts.splits.train, parts.state.replace(past=past), tmp_path)
    states, inspect = [], nonfinite.inspect

    def noted(loss_fn, state, *rest, **options):
        states.append(state)
        return inspect(loss_fn, state, *rest, **options)

    monkeypatch.setattr(nonfinite, "inspect", noted)
    found, places = reproduction.find(config, tmp_path)
    assert found.step == 0 and np.isfinite(found.loss) and len(places) == 32
    jax.tree.map(np.testing.assert_array_equal, states[0].past, past)
    assert bool(jax.tree.leaves(past)) == (kind == "scheduled")


@pytest.mark.slow
def test_steps_that_are_left_out_are_counted_and_said(config, tmp_path, capsys):
    config.update_from_flattened_dict(EXPLODING)
    config.training.skip_nonfinite = True
    with pytest.raises(FloatingPointError, match="the validation loss at step 3 is"):
        train.run(config, tmp_path)
    config.training.eval_every = config.training.save_every = 100
    with pytest.raises(FloatingPointError, match="the validation loss at step 6 is"):
        train.run(config, tmp_path)
    logged = [line for line in metrics.read(tmp_path / "metrics.jsonl") if "loss" in line]
    assert any(
        line.get("skipped_steps") for line in logged + metrics.read(tmp_path / "metrics.jsonl")
    )
    assert "were not finite and left out" in capsys.readouterr().err


def test_there_is_nothing_to_replay_where_all_was_finite(config, model):
    with pytest.raises(FileNotFoundError, match="nothing to replay"):
        replay.run(config, model)


OUT_OF_MEMORY = """
import jax, sys
from ddpm_jax import command_line

def main():
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\\nmore")

command_line.run(main)
"""


def test_out_of_memory_names_what_to_change():
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: the device is out of memory; make training.batch_size")
    assert "training.accumulate" in done.stderr and "allocating 9 bytes." in done.stderr
    assert "Traceback" not in done.stderr
