"""`training.steps_per_call` and `training.resident_mib` of a whole training, on the real digits."""

import json

import pytest
from tiny_run import tiny

from ddpm_jax.assembly import training
from ddpm_jax.jobs import train
from ddpm_jax.models import in_training
from ddpm_jax.planning import requirements
from ddpm_jax.training import calls, devices, footprint


def lines(config, workdir):
    found = train.run(config, workdir)
    written = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return found, written


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_a_training_is_the_same_but_for_rounding(tmp_path):
    config = tiny()
    plain, expected = lines(config, tmp_path / "plain")
    config.training.update(steps_per_call=2, resident_mib=1)
    found, written = lines(config, tmp_path / "calls")
    assert found["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-4)
    assert len(written) == len(expected)
    for ours, theirs in zip(written, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_calls_and_what_they_are_compiled_for():
    config = tiny()
    config.training.update(steps_per_call=2, resident_mib=1)
    parts = training.build_parts(config)
    num = len(parts.splits.train.labels)
    of_a_call = {name: (leaf.shape, leaf.dtype) for name, leaf in parts.programs.batch.items()}
    read = in_training.batches(config, parts, 0)
    # Stops are at 3, 4 and 6.
    several = [next(read) for _ in range(4)]
    assert [calls.num_steps(batch) for batch in several] == [2, 1, 1, 2]
    assert {name: (array.shape, array.dtype) for name, array in several[0].items()} == of_a_call
    assert several[0]["image"].shape == (num, 8, 8, 1)
    assert several[0]["index"].shape == (2, 32)
    assert set(several[0]) == {"index", "image", "label"}
    takes = requirements.compile_training(parts.placement, parts.programs).takes
    assert takes.arguments >= num * 64 + footprint.num_bytes(parts.state)


def test_the_rows_of_several_devices_are_no_steps(on_all_devices):
    """Under "pmap" an array is [devices, rows]; a call is one step all the same."""
    config = tiny()
    config.training.parallel = "pmap"
    parts = training.build_parts(config)
    assert parts.placement.num_devices > 1
    batch = next(in_training.batches(config, parts, 0))
    assert batch["label"].ndim == 2 and in_training.steps_in(parts.placement)(batch) == 1


def test_images_that_do_not_fit_are_sent():
    config = tiny()
    config.training.resident_mib = 1
    config.data.image_size = 64  # 1,257 of them are 4.9 MiB
    train_split = training.datasets.build_splits(config.data, config.seed).train
    assert training.resident_images(config, train_split) == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps_per_call": 0}, "training.steps_per_call is 0; it must be at least 1"),
        ({"steps_per_call": 2, "parallel": "pmap"}, "want training.parallel 'jit', got 'pmap'"),
    ],
)
def test_what_cannot_be_is_said(fields, message):
    config = tiny()
    config.training.update(fields)
    with pytest.raises(ValueError, match=message):
        training.build_programs(config, devices.place(config.training.parallel), 10)
