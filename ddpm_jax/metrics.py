"""Scalars and pictures of a run: TensorBoard's event files, and the scalars also in `metrics.jsonl`."""

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from ddpm_jax.whole_file import replacing


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """As if it were not installed, unless something has imported it."""
    absent = module not in sys.modules
    if absent:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[module]


with _without("torch"):  # tensorboardX imports it for tensors, of which it gets none here: 2 s
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import event_pb2


class Writer(NamedTuple):
    """Tags of TensorBoard are grouped: `train/loss`, `validation/loss`."""

    scalars: Callable[[int, Mapping[str, float]], None]
    """To `metrics.jsonl` and TensorBoard."""
    shown: Callable[[int, Mapping[str, float]], None]
    """To TensorBoard alone: what depends on the clock, or follows from the config."""
    pictures: Callable[[int, Mapping[str, UInt8[np.ndarray, "H W C"]]], None]
    config: Callable[[Mapping[str, Any]], None]
    """Show the fields of a config, by dotted name: as a table, and as hyperparameters of the run."""
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
        shown(step, values)

    def shown(step: int, values: Mapping[str, float]) -> None:
        write(step, {grouped(name): value for name, value in values.items()}, summary.scalar)

    def pictures(step: int, images: Mapping[str, UInt8[np.ndarray, "H W C"]]) -> None:
        write(step, images, partial(summary.image, dataformats="HWC"))

    def config(fields: Mapping[str, Any]) -> None:
        # A tuple has no type of a hyperparameter.
        plain = {
            name: v if isinstance(v, bool | int | float) else str(v) for name, v in fields.items()
        }
        parts = summary.hparams(plain, dict.fromkeys([grouped("validation_loss")], 0.0))
        write(step, {"config": table(fields)}, summary.text)
        write(step, {str(number): part for number, part in enumerate(parts)}, lambda _, part: part)

    def close() -> None:
        thread.submit(events.close)
        thread.shutdown(wait=True)
        for future in pending:
            future.result()

    return Writer(scalars, shown, pictures, config, close)


def no_writer() -> Writer:
    """A writer that does nothing, for processes that leave the files to another."""
    return Writer(
        lambda step, values: None,
        lambda step, values: None,
        lambda step, images: None,
        lambda fields: None,
        lambda: None,
    )


def grouped(name: str) -> str:
    """The tag of a metric in TensorBoard."""
    kind, _, rest = name.partition("_")
    return f"validation/{rest}" if kind == "validation" else f"train/{name}"


def table(fields: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = (f"| {name} | `{value}` |" for name, value in fields.items())
    return "\n".join(["| field | value |", "|---|---|", *rows])


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
