"""Metrics come back from `metrics.jsonl` and from the event files."""

import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from ddpm_jax import metrics


def events(directory):
    accumulator = EventAccumulator(
        str(directory), size_guidance={"scalars": 0, "images": 0, "tensors": 0}
    )
    accumulator.Reload()
    return accumulator


def write_two_lines(directory):
    writer = metrics.open_writer(directory, step=0)
    writer.scalars(1, {"loss": 0.5})
    writer.shown(1, {"images_per_second": 100.0})
    writer.scalars(2, {"loss": 0.25})
    writer.pictures(2, {"samples": np.full((4, 6, 3), 7, np.uint8)})
    writer.close()


def test_scalars_are_lines_of_json_and_speeds_are_not_among_them(tmp_path):
    write_two_lines(tmp_path)
    assert metrics.read(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]


def test_the_event_file_holds_the_same(tmp_path):
    write_two_lines(tmp_path)
    found = events(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("train/loss")] == [
        (1, 0.5),
        (2, 0.25),
    ]
    assert found.Scalars("train/images_per_second")[0].value == 100.0
    (picture,) = found.Images("samples")
    assert (picture.height, picture.width, picture.step) == (4, 6, 2)
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        np.testing.assert_array_equal(np.asarray(image), np.full((4, 6, 3), 7))


def test_a_gray_picture_is_gray(tmp_path):
    writer = metrics.open_writer(tmp_path, step=0)
    writer.pictures(1, {"samples": np.arange(6, dtype=np.uint8).reshape(2, 3, 1)})
    writer.close()
    (picture,) = events(tmp_path).Images("samples")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("L")), [[0, 1, 2], [3, 4, 5]])


def test_lines_can_be_read_while_the_run_goes_on(tmp_path):
    writer = metrics.open_writer(tmp_path, step=0)
    writer.scalars(1, {"loss": 0.5})
    deadline = time.monotonic() + 60
    while not events(tmp_path).Tags()["scalars"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert events(tmp_path).Scalars("train/loss")[0].value == 0.5
    writer.close()


def test_a_run_on_digits_imports_no_large_package_that_it_does_not_use():
    """Each takes seconds."""
    program = (
        "import sys; from ddpm_jax.data import digits; from ddpm_jax.jobs import train\n"
        "digits.load(); print({'tensorflow', 'torch', 'sklearn', 'pandas'} & sys.modules.keys())\n"
        "import torch"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr
    assert run.returncode == 0 or "No module named 'torch'" in run.stderr


def test_validation_has_a_group_of_its_own(tmp_path):
    writer = metrics.open_writer(tmp_path, step=0)
    writer.scalars(1, {"validation_loss": 0.5})
    writer.close()
    assert events(tmp_path).Tags()["scalars"] == ["validation/loss"]
    assert metrics.read(tmp_path / "metrics.jsonl") == [{"step": 1, "validation_loss": 0.5}]


def test_the_config_is_a_table_and_the_runs_hyperparameters(tmp_path):
    writer = metrics.open_writer(tmp_path, step=3)
    writer.config({"net.multipliers": (1, 2), "optim.learning_rate": 0.5, "net.name": "unet"})
    writer.close()
    found = events(tmp_path)
    (text,) = found.Tensors("config/text_summary")
    assert text.step == 3
    assert text.tensor_proto.string_val[0].decode().splitlines() == [
        "| field | value |",
        "|---|---|",
        "| net.multipliers | `(1, 2)` |",
        "| optim.learning_rate | `0.5` |",
        "| net.name | `unet` |",
    ]
    start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info.hparams
    assert told["net.multipliers"].string_value == "(1, 2)"
    assert told["optim.learning_rate"].number_value == 0.5


def test_continuing_drops_the_lines_after_the_checkpoint(tmp_path):
    write_two_lines(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # killed while writing
    writer = metrics.open_writer(tmp_path, step=1)
    writer.scalars(2, {"loss": 0.125})
    writer.close()
    assert [line["loss"] for line in metrics.read(tmp_path / "metrics.jsonl")] == [0.5, 0.125]


def test_an_error_of_the_writing_thread_is_not_lost(tmp_path, monkeypatch):
    def full(self, event):
        raise OSError("No space left on device")

    writer = metrics.open_writer(tmp_path, step=0)
    monkeypatch.setattr(metrics.EventsWriter, "write_event", full)
    writer.scalars(1, {"loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        writer.close()
