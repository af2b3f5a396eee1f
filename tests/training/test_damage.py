"""What a bad disk, a full one or a killed process can do to a checkpoint, and what is made of it."""

import logging
import os
import pathlib
import random
import shutil
import subprocess
import sys

import numbered
import pytest
import regression

from ddpm_jax.training import checkpoints, devices, manifest, retention
from ddpm_jax.training.manifest import Damaged


def test_a_damaged_checkpoint_is_named_and_left_and_passed_over(tmp_path, caplog):
    numbered.save_steps(tmp_path, 1, 2, 3)
    weights = numbered.largest_file(tmp_path / "3" / "ema_params")
    damaged = numbered.flip(weights, 100)
    (tmp_path / "2" / manifest.NAME).unlink()
    with caplog.at_level(logging.WARNING):
        restored = checkpoints.restore(tmp_path, numbered.target())
    assert int(restored.state.step) == 1
    assert "checkpoint 3 is passed over: ema_params/" in caplog.text
    assert "was altered" in caplog.text
    assert "checkpoint 2 is passed over: manifest.json cannot be read" in caplog.text
    assert retention.steps(tmp_path) == [1, 2, 3] and weights.read_bytes() == damaged


def test_a_damaged_checkpoint_that_is_asked_for_is_not_replaced_by_another(tmp_path):
    numbered.save_steps(tmp_path, 1, 2)
    numbered.flip(numbered.largest_file(tmp_path / "2" / "ema_params"), 100)
    wanted = devices.abstract(numbered.over(1), regression.params())
    with pytest.raises(Damaged, match="was altered"):
        checkpoints.restore_params(tmp_path, wanted, step=2)
    # Only what is read is looked at.
    assert checkpoints.restore_params(tmp_path, wanted, item="params").facts["step"] == 2


# Past the limit a write fails as it does on a full disk, with another number in the error.
FULL_DISK = """
import resource, signal, sys
import jax, jax.numpy as jnp, numbered
from ddpm_jax.training import checkpoints

small = numbered.state_at(1)
noise = jax.random.normal(jax.random.key(0), (400_000,))
large = numbered.state_at(2).replace(ema_params={"w": noise})
try:
    with checkpoints.saver(sys.argv[1], keep=1) as save:
        save(small)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with checkpoints.saver(sys.argv[1], keep=1) as save:
        save(large)
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_named_and_costs_no_good_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert f"checkpoint 2 was not saved in {tmp_path}" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert done.stdout.endswith("the newest one before it is 1\n")
    assert retention.steps(tmp_path) == [1]
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1


def test_when_none_is_good_the_run_does_not_start_afresh(tmp_path):
    numbered.save_steps(tmp_path, 1, 2)
    numbered.flip(numbered.largest_file(tmp_path / "1"), 100)
    numbered.flip(tmp_path / "2" / manifest.NAME, 100)
    with pytest.raises(checkpoints.NoGoodCheckpoint, match="none of the checkpoints in") as caught:
        checkpoints.restore(tmp_path, numbered.target())
    assert "2: manifest.json was altered" in str(caught.value) and "1: " in str(caught.value)


def test_a_checkpoint_under_the_name_of_another_step_is_damaged(tmp_path):
    numbered.save_steps(tmp_path, 1)
    shutil.copytree(tmp_path / "1", tmp_path / "9")
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1


def test_a_manifest_of_something_else_is_damage_too(tmp_path, caplog):
    numbered.save_steps(tmp_path, 1, 2)
    (tmp_path / "2" / manifest.NAME).unlink()
    manifest.write(tmp_path / "2", {"title": "my diary"})
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1
    assert "manifest.json lacks what a checkpoint has to say" in caplog.text
    assert retention.best_step(tmp_path) is None


def test_files_that_orbax_cannot_read_are_damage_too(tmp_path, caplog):
    numbered.save_steps(tmp_path, 1, 2)
    (tmp_path / "2" / "params" / "_METADATA").write_text("{")
    facts = manifest.read(tmp_path / "2")
    del facts["files"]
    manifest.write(tmp_path / "2", facts)  # as if it had been written so
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1
    assert "checkpoint 2 is passed over: it cannot be read" in caplog.text


def test_a_run_that_went_back_keeps_the_damaged_one_aside(tmp_path):
    numbered.save_steps(tmp_path, 1, 2, 3)
    numbered.flip(numbered.largest_file(tmp_path / "2"), 100)
    numbered.flip(numbered.largest_file(tmp_path / "3"), 100)
    numbered.save_steps(tmp_path, 2, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "2.damaged-1", "3"]
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 2


def test_a_good_one_of_the_same_step_is_replaced(tmp_path):
    numbered.save_steps(tmp_path, 1)
    numbered.save_steps(tmp_path, 1, loss_1=2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert manifest.read(tmp_path / "1")["validation_loss"] == 2.0


def test_what_a_killed_save_left_is_no_checkpoint_and_goes_with_the_next(tmp_path):
    numbered.save_steps(tmp_path, 1)
    shutil.copytree(tmp_path / "1", tmp_path / "2.saving")
    (tmp_path / "3.saving.orbax-checkpoint-tmp").mkdir()
    shutil.copytree(tmp_path / "1", tmp_path / "0.removing")
    assert retention.steps(tmp_path) == [1]
    assert int(checkpoints.restore(tmp_path, numbered.target()).state.step) == 1
    numbered.save_steps(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def damage(folder, how, rng):
    """To one file of it, weighted by size as real bit rot is, for flips; any file otherwise."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    if how == "flip":
        path = rng.choices(files, [p.stat().st_size for p in files])[0]
        numbered.flip(path, rng.randrange(path.stat().st_size * 8))
    elif how == "truncate":
        path = rng.choice(files)
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    else:
        rng.choice(files).unlink()


def detected(tmp_path, how, rng):
    """Whether, after one accident to the newest checkpoint, the one before it is restored."""
    newest = tmp_path / "2"
    whole = tmp_path / "whole"
    if not whole.exists():
        shutil.copytree(newest, whole)
    damage(newest, how, rng)
    names = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    restored = checkpoints.restore(tmp_path, numbered.target())
    nothing_deleted = names == {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    right = int(restored.state.step) == 1
    numbered.assert_same(restored.state, numbered.state_at(1))
    shutil.rmtree(newest)
    shutil.copytree(whole, newest)
    return right and nothing_deleted


@pytest.mark.parametrize(
    "counts",
    [
        {"flip": 30, "truncate": 8, "delete": 8},
        pytest.param({"flip": 200, "truncate": 50, "delete": 50}, marks=pytest.mark.long),
    ],
    ids=["some", "all"],
)
def test_every_accident_to_the_newest_checkpoint_is_noticed(tmp_path, counts, record_property):
    numbered.save_steps(tmp_path, 1, 2)
    rng = random.Random(0)
    seen = {how: sum(detected(tmp_path, how, rng) for _ in range(counts[how])) for how in counts}
    record_property(
        "counted", f"accidents detected, fallback right, nothing deleted: {seen} of {counts}"
    )
    assert seen == counts
