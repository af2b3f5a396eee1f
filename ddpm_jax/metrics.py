"""Scalars and pictures of a run: to TensorBoard through clu, and the scalars to `metrics.jsonl`.

clu's writer needs TensorFlow. Its import takes seconds, so it runs in the writing thread. Without
TensorFlow, a writer with the same methods writes the same events to the same kind of file.
"""

import importlib.util
import io
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ddpm_jax.whole_file import replacing


class Writer(NamedTuple):
    """`speeds` are scalars that depend on the clock; `metrics.jsonl` does not, so they stay out of it."""

    scalars: Callable[[int, Mapping[str, float]], None]
    speeds: Callable[[int, Mapping[str, float]], None]
    pictures: Callable[[int, Mapping[str, UInt8[np.ndarray, "H W C"]]], None]
    close: Callable[[], None]


def open_writer(workdir: pathlib.Path, step: int) -> Writer:
    """Continue the run's metrics after `step`. Drop later lines, which a lost process wrote."""
    lines = workdir / "metrics.jsonl"
    keep_until(lines, step)
    thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
    made: list[Any] = []
    pending: list[Future[None]] = []

    def later(call: Callable[[Any], None]) -> None:
        def work() -> None:
            if not made:
                made.append(_event_writer(str(workdir)))
            call(made[0])

        while pending and pending[0].done():
            pending.pop(0).result()  # raises what the writing thread raised
        pending.append(thread.submit(work))

    def scalars(step: int, values: Mapping[str, float]) -> None:
        with lines.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        speeds(step, values)

    def speeds(step: int, values: Mapping[str, float]) -> None:
        later(lambda writer: writer.write_scalars(step, dict(values)))

    def pictures(step: int, images: Mapping[str, UInt8[np.ndarray, "H W C"]]) -> None:
        batch = {name: image[None] for name, image in images.items()}
        later(lambda writer: writer.write_images(step, batch))

    def close() -> None:
        thread.submit(lambda: [writer.close() for writer in made])
        thread.shutdown(wait=True)
        for future in pending:
            future.result()

    return Writer(scalars, speeds, pictures, close)


def no_writer() -> Writer:
    """A writer that does nothing, for processes that leave the files to another."""
    return Writer(
        lambda step, values: None,
        lambda step, values: None,
        lambda step, images: None,
        lambda: None,
    )


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def keep_until(path: pathlib.Path, step: int) -> None:
    """Drop the lines after `step`."""
    kept = [line for line in read(path) if line["step"] <= step]
    if path.exists():
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def _event_writer(directory: str) -> Any:
    if importlib.util.find_spec("tensorflow") is None:
        return EventWriter(directory)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow reports them on stderr
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    from clu import metric_writers

    return metric_writers.SummaryWriter(directory)


class EventWriter:
    """The part of clu's `MetricWriter` that this program uses, without TensorFlow."""

    def __init__(self, directory: str):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._file = EventFileWriter(directory)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        self._write(step, [{"tag": tag, "simple_value": value} for tag, value in scalars.items()])

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        values = []
        for tag, (image, *_) in images.items():
            encoded = io.BytesIO()
            Image.fromarray(image.squeeze()).save(encoded, format="PNG")
            height, width, channels = image.shape
            picture = {
                "height": height,
                "width": width,
                "colorspace": channels,
                "encoded_image_string": encoded.getvalue(),
            }
            values.append({"tag": tag, "image": picture})
        self._write(step, values)

    def _write(self, step: int, values: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value) for value in values])
        self._file.add_event(Event(step=step, wall_time=time.time(), summary=summary))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
