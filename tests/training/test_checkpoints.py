import shutil

import jax
import jax.numpy as jnp
import numbered
import pytest
import regression

from ddpm_jax.training import checkpoints, devices, fingerprint, loop, manifest, retention
from ddpm_jax.training.manifest import Damaged


def test_all_of_a_state_comes_back(tmp_path):
    with checkpoints.saver(tmp_path, keep=2) as save:
        save(numbered.state_at(4), validation_loss=0.25, extra={"images": [1, 2]})
    restored = checkpoints.restore(tmp_path, numbered.target())
    numbered.assert_same(restored.state, numbered.state_at(4))
    facts = restored.facts
    assert (facts["step"], facts["validation_loss"]) == (4, 0.25)
    assert facts["extra"] == {"images": [1, 2]}
    assert facts["libraries"]["jax"] == jax.__version__


def test_a_save_is_of_the_moment_it_was_asked_for(tmp_path):
    # The training continues, and writes over the state's memory, while the files are written.
    prints = {}
    with checkpoints.saver(tmp_path, keep=9) as save:

        def both(step, state):
            prints[step] = fingerprint.sha256(state.params)
            save(state)

        regression.train(numbered.over(1), 40, actions=[loop.Action(5, both)])
    wanted = devices.abstract(numbered.over(1), regression.params())
    for step in range(5, 45, 5):
        found = checkpoints.restore_params(tmp_path, wanted, item="params", step=step)
        assert fingerprint.sha256(found.params) == prints[step]


def test_a_resumed_run_ends_with_the_same_bits_and_writes_the_same_lines(tmp_path):
    straight, lines = regression.train(numbered.over(1), 30, log_every=7)
    half, first = regression.train(numbered.over(1), 30, log_every=7, stop=stop_after(17))
    with checkpoints.saver(tmp_path, keep=1) as save:
        save(half)
    restored = checkpoints.restore(tmp_path, numbered.target()).state
    resumed, last = regression.train(numbered.over(1), 30, log_every=7, state=restored)
    numbered.assert_same(straight, resumed)
    assert first + last == lines


def stop_after(num_steps):
    calls = iter(range(num_steps + 1))
    return lambda: next(calls) == num_steps


def test_a_run_resumes_with_another_number_of_devices(tmp_path):
    straight, _ = regression.train(numbered.over(1), 30)
    state = None
    for num_devices, up_to in [(4, 10), (1, 20), (2, 30)]:
        state, _ = regression.train(numbered.over(num_devices), up_to, state=state)
        with checkpoints.saver(tmp_path, keep=1) as save:
            save(state)
        next_number = {4: 1, 1: 2, 2: 4}[num_devices]
        state = checkpoints.restore(tmp_path, numbered.target(next_number)).state
        assert state.params["first"]["kernel"].sharding == numbered.over(next_number).replicated
    assert regression.gap(straight.params, state.params) < 1e-5


def test_inference_reads_the_average_only(tmp_path):
    numbered.save_steps(tmp_path, 3, 6)
    shutil.rmtree(tmp_path / "6" / "rest")
    shutil.rmtree(tmp_path / "6" / "params")
    wanted = devices.abstract(numbered.over(2), regression.params())
    found = checkpoints.restore_params(tmp_path, wanted)
    numbered.assert_same(found.params, numbered.state_at(6).ema_params)
    assert checkpoints.restore_params(tmp_path, wanted, step=3).facts["step"] == 3
    assert checkpoints.restore_params(tmp_path, wanted, item="params").facts["step"] == 3


def test_what_is_not_there_is_not_restored(tmp_path):
    wanted = devices.abstract(numbered.over(1), regression.params())
    assert checkpoints.restore(tmp_path / "never", numbered.target()) is None
    assert checkpoints.restore_params(tmp_path, wanted) is None
    numbered.save_steps(tmp_path, 3)
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint 5; there are \[3\]"):
        checkpoints.restore_params(tmp_path, wanted, step=5)
    with pytest.raises(ValueError, match="item 'opt_state' is not known"):
        checkpoints.restore_params(tmp_path, wanted, item="opt_state")


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(tmp_path):
    numbered.save_steps(tmp_path, 3)
    other = regression.params()
    other["first"]["kernel"] = jnp.zeros((3, 9))
    other["third"] = jnp.zeros(1)
    del other["second"]
    with pytest.raises(ValueError, match="checkpoint 3 is of another model") as caught:
        checkpoints.restore_params(tmp_path, devices.abstract(numbered.over(1), other))
    message = str(caught.value)
    assert "first/kernel is float32[3, 8], wanted float32[3, 9]" in message
    assert "third is missing, wanted float32[1]" in message
    assert "second/kernel is float32[8, 2], wanted none" in message


def test_a_step_is_saved_once(tmp_path):
    with checkpoints.saver(tmp_path, keep=2) as save:
        save(numbered.state_at(1), validation_loss=0.5)
        save(numbered.state_at(1))
    assert manifest.read(tmp_path / "1")["validation_loss"] == 0.5


def test_a_saver_that_would_keep_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep 0 must be at least 1"):
        numbered.save_steps(tmp_path, 1, keep=0)


def test_a_validation_loss_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(FloatingPointError, match="the validation loss at step 1 is nan"):
        numbered.save_steps(tmp_path, 1, loss_1=float("nan"))
    assert retention.steps(tmp_path) == []


def test_a_frozen_state_is_refused(tmp_path):
    frozen = numbered.state_at(3).replace(nonfinite_step=jnp.int32(3))
    with pytest.raises(FloatingPointError, match="step 3 is not finite, and is not saved"):
        with checkpoints.saver(tmp_path, keep=1) as save:
            save(frozen)
    assert retention.steps(tmp_path) == []


def test_a_reader_does_not_mind_that_the_trainer_removes_what_it_reads(tmp_path, monkeypatch):
    numbered.save_steps(tmp_path, 1, 2)
    whole = manifest.verify

    def pruned_meanwhile(path, items=None):
        if path.name == "2":
            numbered.save_steps(tmp_path, 5, keep=1)
        return whole(path, items)

    monkeypatch.setattr(manifest, "verify", pruned_meanwhile)
    found = checkpoints.restore_params(
        tmp_path, devices.abstract(numbered.over(1), regression.params())
    )
    assert found.facts["step"] == 5


def test_an_old_one_is_removed_only_after_the_new_one_was_verified(tmp_path, monkeypatch):
    numbered.save_steps(tmp_path, 1)

    def found_damaged(path, items=None):
        raise Damaged("a bad disk")

    monkeypatch.setattr(manifest, "verify", found_damaged)
    with pytest.raises(OSError, match=r"checkpoint 2 was not saved in .*: a bad disk"):
        numbered.save_steps(tmp_path, 2, keep=1)
    assert 1 in retention.steps(tmp_path)


def test_an_error_in_the_background_names_what_is_left(tmp_path, monkeypatch):
    numbered.save_steps(tmp_path, 1)

    def full(directory, facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", full)
    with pytest.raises(
        OSError, match=r"checkpoint 2 was not saved .*No space left.*the newest one before it is 1"
    ):
        with checkpoints.saver(tmp_path, keep=1) as save:
            save(numbered.state_at(2))
            save(numbered.state_at(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_an_error_in_the_first_save_says_that_there_is_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "write", lambda directory, facts: 1 / 0)
    with pytest.raises(OSError, match=r"checkpoint 2 was not saved.*there is none before it"):
        numbered.save_steps(tmp_path, 2)
