"""Scalars and pictures of a run: TensorBoard's event files, and the scalars also in `metrics.jsonl`."""

import json
import pathlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

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
    events = EventsWriter(str(workdir / "events"))
    # A thread of our own, because tensorboardX's hangs when the disk is full.
    thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
    pending: list[Future[None]] = []

    def write(step: int, written: Mapping[str, Any], summarize: Callable[..., Any]) -> None:
        at = time.time()

        def work() -> None:
            for tag, value in written.items():
                shown = summarize(tag, value)
                events.write_event(event_pb2.Event(step=step, wall_time=at, summary=shown))
            events.flush()

        while pending and pending[0].done():
            pending.pop(0).result()  # raises what the writing thread raised
        pending.append(thread.submit(work))

    def scalars(step: int, values: Mapping[str, float]) -> None:
        with lines.open("a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        speeds(step, values)

    def speeds(step: int, values: Mapping[str, float]) -> None:
        write(step, values, summary.scalar)

    def pictures(step: int, images: Mapping[str, UInt8[np.ndarray, "H W C"]]) -> None:
        write(step, images, partial(summary.image, dataformats="HWC"))

    def close() -> None:
        thread.submit(events.close)
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
