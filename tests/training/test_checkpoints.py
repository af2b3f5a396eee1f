import json
import logging
import pathlib
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import regression

from ddpm_jax.training import checkpoints, devices, fingerprint, loop, manifest, retention
from ddpm_jax.training.manifest import Damaged


def over(num_devices):
    return devices.place("jit", jax.devices()[:num_devices])


def state_at(step):
    """Every number in it says which step it is of."""
    state = devices.replicate(over(1), regression.fresh())
    numbered = jax.tree.map(lambda leaf: jnp.full_like(leaf, step), state)
    return numbered.replace(nonfinite_step=state.nonfinite_step)


def target(num_devices=1):
    return devices.abstract(over(num_devices), regression.fresh())


def save_steps(folder, *steps, keep=5, **losses):
    with checkpoints.saver(folder, keep=keep) as save:
        for step in steps:
            save(state_at(step), validation_loss=losses.get(f"loss_{step}"))


def assert_same(a, b):
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_all_of_a_state_comes_back(tmp_path):
    with checkpoints.saver(tmp_path, keep=2, config_digest="abc") as save:
        save(state_at(4), validation_loss=0.25, extra={"images": [1, 2]})
    restored = checkpoints.restore(tmp_path, target())
    assert_same(restored.state, state_at(4))
    facts = restored.facts
    assert (facts["step"], facts["config_digest"], facts["validation_loss"]) == (4, "abc", 0.25)
    assert facts["extra"] == {"images": [1, 2]}
    assert facts["libraries"]["jax"] == jax.__version__


def test_a_save_is_of_the_moment_it_was_asked_for(tmp_path):
    # The training goes on, and writes over the state's memory, while the files are written.
    prints = {}
    with checkpoints.saver(tmp_path, keep=9) as save:

        def both(step, state):
            prints[step] = fingerprint.sha256((state.params, state.ema_params, state.opt_state))
            save(state)

        regression.train(over(1), 40, actions=[loop.Action(5, both)])
    assert retention.steps(tmp_path) == sorted(prints) == list(range(5, 45, 5))
    for step in (40, 20, 5):
        state = checkpoints.restore(tmp_path, target()).state
        got = fingerprint.sha256((state.params, state.ema_params, state.opt_state))
        assert got == prints[int(state.step)] and int(state.step) >= step
        for newer in [name for name in retention.steps(tmp_path) if name >= int(state.step) - 15]:
            shutil.rmtree(tmp_path / str(newer))
        if not retention.steps(tmp_path):
            break


def test_a_resumed_run_ends_with_the_same_bits_and_writes_the_same_lines(tmp_path):
    straight, lines = regression.train(over(1), 30, log_every=7)
    with checkpoints.saver(tmp_path, keep=1) as save:
        _, first = regression.train(
            over(1), 17, log_every=7, actions=[loop.Action(17, lambda step, state: save(state))]
        )
    restored = checkpoints.restore(tmp_path, target()).state
    resumed, last = regression.train(over(1), 30, log_every=7, state=restored)
    assert_same(straight, resumed)
    # The first part ended at 17, where a run told to stop would not have written a line.
    assert [line for line in first if line[0] != 17] == lines[:2]
    assert [step for step, _ in last] == [21, 28, 30]


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4), (4, 2)])
def test_a_run_goes_on_with_another_number_of_devices(tmp_path, before, after):
    with checkpoints.saver(tmp_path, keep=1) as save:
        save(regression.train(over(before), 10)[0])
    restored = checkpoints.restore(tmp_path, target(after)).state
    assert restored.params["first"]["kernel"].sharding == over(after).replicated
    resumed, _ = regression.train(over(after), 20, state=restored)
    straight, _ = regression.train(over(1), 20)
    assert regression.gap(straight.params, resumed.params) < 1e-5


def test_inference_reads_the_average_only(tmp_path):
    save_steps(tmp_path, 3, 6)
    shutil.rmtree(tmp_path / "6" / "rest")
    shutil.rmtree(tmp_path / "6" / "params")
    wanted = devices.abstract(over(2), regression.params())
    found = checkpoints.restore_params(tmp_path, wanted)
    assert_same(found.params, state_at(6).ema_params)
    assert checkpoints.restore_params(tmp_path, wanted, step=3).facts["step"] == 3
    assert checkpoints.restore_params(tmp_path, wanted, item="params").facts["step"] == 3


def test_what_is_not_there_is_not_restored(tmp_path):
    wanted = devices.abstract(over(1), regression.params())
    assert checkpoints.restore(tmp_path / "never", target()) is None
    assert checkpoints.restore_params(tmp_path, wanted) is None
    save_steps(tmp_path, 3)
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint 5; there are \[3\]"):
        checkpoints.restore_params(tmp_path, wanted, step=5)
    with pytest.raises(ValueError, match="item 'opt_state' is not known"):
        checkpoints.restore_params(tmp_path, wanted, item="opt_state")


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(tmp_path):
    save_steps(tmp_path, 3)
    other = regression.params()
    other["first"]["kernel"] = jnp.zeros((3, 9))
    other["third"] = jnp.zeros(1)
    del other["second"]
    with pytest.raises(ValueError, match="checkpoint 3 is of another model") as caught:
        checkpoints.restore_params(tmp_path, devices.abstract(over(1), other))
    message = str(caught.value)
    assert "first/kernel is float32[3, 8], wanted float32[3, 9]" in message
    assert "third is missing, wanted float32[1]" in message
    assert "second/kernel is float32[8, 2], wanted none" in message


def test_the_newest_stay_and_the_best_besides(tmp_path):
    with checkpoints.saver(tmp_path, keep=2) as save:
        for step, loss in [(1, 5.0), (2, 1.0), (3, 3.0), (4, 2.0), (5, None)]:
            save(state_at(step), validation_loss=loss)
    assert retention.steps(tmp_path) == [2, 4, 5]
    assert retention.best_step(tmp_path) == 2
    with checkpoints.saver(tmp_path, keep=2) as save:
        save(state_at(6), validation_loss=0.5)
    assert retention.steps(tmp_path) == [5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5", "6"]


def test_without_a_validation_loss_there_is_no_best(tmp_path):
    assert retention.best_step(tmp_path) is None
    save_steps(tmp_path, 1, 2)
    assert retention.best_step(tmp_path) is None


def test_the_first_of_two_equals_is_the_best(tmp_path):
    save_steps(tmp_path, 1, 2, loss_1=0.5, loss_2=0.5)
    assert retention.best_step(tmp_path) == 1


def test_a_step_is_saved_once(tmp_path):
    with checkpoints.saver(tmp_path, keep=2) as save:
        save(state_at(1), validation_loss=0.5)
        save(state_at(1))
    assert manifest.read(tmp_path / "1")["validation_loss"] == 0.5


def test_a_saver_that_would_keep_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep 0 must be at least 1"):
        save_steps(tmp_path, 1, keep=0)


def test_a_validation_loss_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(FloatingPointError, match="the validation loss at step 1 is nan"):
        save_steps(tmp_path, 1, loss_1=float("nan"))
    assert retention.steps(tmp_path) == []


def test_a_damaged_checkpoint_is_named_and_left_and_passed_over(tmp_path, caplog):
    save_steps(tmp_path, 1, 2, 3)
    before = flip(largest_file(tmp_path / "3"), 100)
    (tmp_path / "2" / manifest.NAME).unlink()
    with caplog.at_level(logging.WARNING):
        restored = checkpoints.restore(tmp_path, target())
    assert int(restored.state.step) == 1
    assert "checkpoint 3 is passed over" in caplog.text and "was altered" in caplog.text
    assert "checkpoint 2 is passed over: manifest.json cannot be read" in caplog.text
    assert retention.steps(tmp_path) == [1, 2, 3]
    assert largest_file(tmp_path / "3").read_bytes() == before
    with pytest.raises(Damaged, match="was altered"):
        checkpoints.restore_params(
            tmp_path, devices.abstract(over(1), regression.params()), item="params", step=3
        ) if "params" in str(largest_file(tmp_path / "3").relative_to(tmp_path)) else (
            manifest.verify(tmp_path / "3")
        )


def test_when_none_is_good_the_run_does_not_start_afresh(tmp_path):
    save_steps(tmp_path, 1, 2)
    flip(largest_file(tmp_path / "1"), 100)
    flip(tmp_path / "2" / manifest.NAME, 100)
    with pytest.raises(checkpoints.NoGoodCheckpoint, match="none of the checkpoints in") as caught:
        checkpoints.restore(tmp_path, target())
    assert "2: manifest.json was altered" in str(caught.value) and "1: " in str(caught.value)


def test_a_checkpoint_under_the_name_of_another_step_is_damaged(tmp_path):
    save_steps(tmp_path, 1)
    shutil.copytree(tmp_path / "1", tmp_path / "9")
    assert int(checkpoints.restore(tmp_path, target()).state.step) == 1


def test_files_that_orbax_cannot_read_are_damage_too(tmp_path, caplog):
    save_steps(tmp_path, 1, 2)
    (tmp_path / "2" / "params" / "_METADATA").write_text("{")
    facts = manifest.read(tmp_path / "2")
    del facts["files"]
    manifest.write(tmp_path / "2", facts)  # as if it had been written so
    assert int(checkpoints.restore(tmp_path, target()).state.step) == 1
    assert "checkpoint 2 is passed over: it cannot be read" in caplog.text


def test_a_run_that_went_back_keeps_the_damaged_one_aside(tmp_path):
    save_steps(tmp_path, 1, 2, 3)
    flip(largest_file(tmp_path / "2"), 100)
    flip(largest_file(tmp_path / "3"), 100)
    save_steps(tmp_path, 2, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "2.damaged-1", "3"]
    assert int(checkpoints.restore(tmp_path, target()).state.step) == 2


def test_a_good_one_of_the_same_step_is_replaced(tmp_path):
    save_steps(tmp_path, 1)
    save_steps(tmp_path, 1, loss_1=2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert manifest.read(tmp_path / "1")["validation_loss"] == 2.0


def test_what_a_killed_save_left_is_no_checkpoint_and_goes_with_the_next(tmp_path):
    save_steps(tmp_path, 1)
    shutil.copytree(tmp_path / "1", tmp_path / "2.saving")
    (tmp_path / "3.saving.orbax-checkpoint-tmp").mkdir()
    shutil.copytree(tmp_path / "1", tmp_path / "0.removing")
    assert retention.steps(tmp_path) == [1]
    assert int(checkpoints.restore(tmp_path, target()).state.step) == 1
    save_steps(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_reader_does_not_mind_that_the_trainer_removes_what_it_reads(tmp_path, monkeypatch):
    save_steps(tmp_path, 1, 2)
    whole = manifest.verify

    def pruned_meanwhile(path, items=None):
        if path.name == "2":
            save_steps(tmp_path, 5, keep=1)
        return whole(path, items)

    monkeypatch.setattr(manifest, "verify", pruned_meanwhile)
    found = checkpoints.restore_params(tmp_path, devices.abstract(over(1), regression.params()))
    assert found.facts["step"] == 5


def test_an_old_one_is_removed_only_after_the_new_one_was_verified(tmp_path, monkeypatch):
    save_steps(tmp_path, 1)

    def found_damaged(path, items=None):
        raise Damaged("a bad disk")

    monkeypatch.setattr(manifest, "verify", found_damaged)
    with pytest.raises(OSError, match=r"checkpoint 2 was not saved in .*: a bad disk"):
        save_steps(tmp_path, 2, keep=1)
    assert 1 in retention.steps(tmp_path)


def test_an_error_in_the_background_names_what_is_left(tmp_path, monkeypatch):
    save_steps(tmp_path, 1)

    def full(directory, facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", full)
    with pytest.raises(
        OSError, match=r"checkpoint 2 was not saved .*No space left.*the newest one before it is 1"
    ):
        with checkpoints.saver(tmp_path, keep=1) as save:
            save(state_at(2))
            save(state_at(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_an_error_in_the_first_save_says_that_there_is_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "write", lambda directory, facts: 1 / 0)
    with pytest.raises(OSError, match=r"checkpoint 2 was not saved.*there is none before it"):
        save_steps(tmp_path, 2)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p))


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return bytes(content)


def damage(folder, how, rng):
    """To one file of it, weighted by size as real bit rot is, for flips; any file otherwise."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    if how == "flip":
        path = rng.choices(files, [p.stat().st_size for p in files])[0]
        flip(path, rng.randrange(path.stat().st_size * 8))
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
    restored = checkpoints.restore(tmp_path, target())
    nothing_deleted = names == {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    right = int(restored.state.step) == 1
    assert_same(restored.state, state_at(1))
    shutil.rmtree(newest)
    shutil.copytree(whole, newest)
    return right and nothing_deleted


@pytest.mark.parametrize(
    "counts",
    [
        {"flip": 30, "truncate": 8, "delete": 8},
        pytest.param({"flip": 200, "truncate": 50, "delete": 50}, marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_every_accident_to_the_newest_checkpoint_is_noticed(tmp_path, counts, capsys):
    save_steps(tmp_path, 1, 2)
    rng = random.Random(0)
    seen = {how: sum(detected(tmp_path, how, rng) for _ in range(counts[how])) for how in counts}
    with capsys.disabled():
        print(f"\naccidents detected, fallback right, nothing deleted: {seen} of {counts}")
    assert seen == counts


def test_every_bit_of_a_manifest_counts(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"weights")
    manifest.write(tmp_path, {"step": 1})
    text = (tmp_path / manifest.NAME).read_bytes()
    assert manifest.verify(tmp_path)["step"] == 1
    for bit in range(0, 8 * len(text)):
        flip(tmp_path / manifest.NAME, bit)
        with pytest.raises(Damaged):
            manifest.verify(tmp_path)
        (tmp_path / manifest.NAME).write_bytes(text)


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"step": 1}', "[" * 100_000, ""])
def test_other_json_is_no_manifest(tmp_path, text):
    (tmp_path / manifest.NAME).write_text(text)
    with pytest.raises(Damaged, match="does not agree with its own checksum"):
        manifest.read(tmp_path)


def test_a_manifest_is_plain_json_with_a_checksum_per_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"abc")
    manifest.write(tmp_path, {"step": 1})
    content = json.loads((tmp_path / manifest.NAME).read_text())
    # SHA-256 of "abc", from FIPS 180-4's examples.
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content["files"] == {"sub/a.bin": {"size": 3, "sha256": wanted}}
    assert not pathlib.Path(tmp_path / f"{manifest.NAME}.partial").exists()
