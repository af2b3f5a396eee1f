"""Metrics come back from `metrics.jsonl` and from the event files, with TensorFlow and without."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from ddpm_jax import metrics


def events(directory):
    accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def write_two_lines(directory):
    writer = metrics.open_writer(directory, step=0)
    writer.scalars(1, {"loss": 0.5})
    writer.speeds(1, {"images_per_second": 100.0})
    writer.scalars(2, {"loss": 0.25})
    writer.pictures(2, {"samples": np.full((4, 6, 3), 7, np.uint8)})
    writer.close()


def test_scalars_are_lines_of_json_and_speeds_are_not_among_them(tmp_path):
    write_two_lines(tmp_path)
    assert metrics.read(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]


@pytest.mark.parametrize("with_tensorflow", [False, True])
def test_the_event_file_holds_the_same(tmp_path, monkeypatch, with_tensorflow):
    if not with_tensorflow:
        monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: None)
    write_two_lines(tmp_path)
    found = events(tmp_path)
    if with_tensorflow:  # clu writes version 2 summaries, in which a scalar is a tensor
        losses = [tensor_util.make_ndarray(e.tensor_proto).item() for e in found.Tensors("loss")]
        assert found.Tensors("images_per_second")
        assert found.Tensors("samples")
    else:
        losses = [event.value for event in found.Scalars("loss")]
        assert found.Scalars("images_per_second")[0].value == 100.0
        (picture,) = found.Images("samples")
        assert (picture.height, picture.width, picture.step) == (4, 6, 2)
    assert losses == [0.5, 0.25]


def test_continuing_drops_the_lines_after_the_checkpoint(tmp_path):
    write_two_lines(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')  # killed while writing
    writer = metrics.open_writer(tmp_path, step=1)
    writer.scalars(2, {"loss": 0.125})
    writer.close()
    assert [line["loss"] for line in metrics.read(tmp_path / "metrics.jsonl")] == [0.5, 0.125]


def test_an_error_of_the_writing_thread_is_not_lost(tmp_path, monkeypatch):
    def no_writer(directory):
        raise OSError("No space left on device")

    monkeypatch.setattr(metrics, "_event_writer", no_writer)
    writer = metrics.open_writer(tmp_path, step=0)
    writer.scalars(1, {"loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        writer.close()
