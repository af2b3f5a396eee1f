"""A model in training: its first state, its batches, its validation loss, and its progress reports."""

import contextlib
import itertools
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import metrics, progress, rundir, units
from ddpm_jax.assembly import choice, denoising, optimizers, training
from ddpm_jax.assembly.training import Parts
from ddpm_jax.data import division, order, source
from ddpm_jax.models import checkpoint_choice, starting_weights, trained
from ddpm_jax.training import calls, checkpoints, devices, footprint, loop, signals, stall
from ddpm_jax.training import state as states
from ddpm_jax.types import Batch, Params
from ddpm_jax.viz import pictures


class Open(NamedTuple):
    """What is open while the model trains."""

    received: Callable[[], str | None]
    writer: metrics.Writer
    save: checkpoints.Save
    show: Callable[..., None]
    alive: Callable[[], None]


@contextlib.contextmanager
def opened(config: ConfigDict, workdir: pathlib.Path, first: int) -> Iterator[Open]:
    """When the block is left, everything is closed and the last save finished."""
    with contextlib.ExitStack() as stack:
        writer = metrics.open_writer(workdir, first) if devices.is_writer() else metrics.no_writer()
        yield Open(
            stack.enter_context(signals.deferred()),
            stack.enter_context(contextlib.closing(writer)),
            stack.enter_context(
                checkpoints.saver(
                    rundir.checkpoints(workdir),
                    keep=config.training.keep,
                    keep_every=config.training.keep_every,
                    save_every=config.training.save_every,
                )
            ),
            stack.enter_context(progress.bar("train", config.training.num_steps, "steps", first)),
            stack.enter_context(watched(config)),
        )


def restore(
    config: ConfigDict,
    parts: Parts,
    directory: pathlib.Path,
    facts: Mapping[str, Any],
    read: Callable[[str], str],
) -> tuple[states.TrainState, dict[int, dict[str, float]]]:
    """The state to start from, and the validation losses of its averages, if they are known.

    A run without a checkpoint begins as `starting_weights.begin` says, which may `read` another run. Raises
    ValueError if the images are not those that the checkpoint was trained on.
    """
    source = config.training.start_from  # a resumed training, too, depends on it
    target = devices.abstract(parts.placement, parts.state)
    restored = checkpoints.restore(directory, target)
    if restored is None:
        return starting_weights.begin(source, parts, read), {}
    before = restored.facts["extra"].get("data_sha256")
    if before != facts["data_sha256"]:
        raise ValueError(
            f"the training images have changed under this run: SHA-256 was {before}, is "
            f"{facts['data_sha256']}; bring them back, or give another --workdir"
        )
    loss = restored.facts["validation_loss"]
    several = restored.facts["extra"].get(checkpoint_choice.LOSSES, {"ema": loss})
    return restored.state, {} if loss is None else {int(restored.state.step): several}


def batches(config: ConfigDict, parts: Parts, first: int) -> Iterator[Batch]:
    """The batch of each call from step `first` on. Batch i of the run depends on (seed, i) alone."""
    fields, train = config.training, parts.splits.train
    rows = devices.local_rows(parts.placement, fields.batch_size)
    order_of = order.places if parts.resident else order.batches
    read = order_of(train, fields.batch_size, config.seed, first, rows)
    stops = (
        fields.log_every, fields.eval_every, fields.sample_every, fields.save_every, fields.num_steps
    )  # fmt: skip
    for num in calls.sizes(first, fields.steps_per_call, stops):
        several = list(itertools.islice(read, num))
        yield devices.put_batches(parts.placement, several) | parts.resident


def steps_in(placement: devices.Placement) -> Callable[[Batch], int]:
    """How many steps a call with a batch takes; one under "pmap", which splits each array."""
    return (lambda batch: 1) if placement.parallel == "pmap" else calls.num_steps


def num_validated(eval_images: int, held_out: int, num_devices: int) -> int:
    """Of `held_out` validation images, those that a loss is measured on; 0: there is no validation loss.

    Raises ValueError if they are fewer than the devices.
    """
    num = min(eval_images, held_out)
    if 0 < num < num_devices:
        raise ValueError(
            f"{num} validation images do not fill {num_devices} devices; raise data.validation_fraction, or "
            "set training.eval_images=0 for no validation loss"
        )
    return num


def validation_images(config: ConfigDict, parts: Parts) -> int:
    """`num_validated` of a run."""
    held_out, num_devices = len(parts.splits.validation.labels), parts.placement.num_devices
    return num_validated(config.training.eval_images, held_out, num_devices)


def validation_loss(config: ConfigDict, parts: Parts, params: Params) -> float:
    """Loss of some weights, on the same images and with the same noise each time."""
    held_out, num_devices = parts.splits.validation, parts.placement.num_devices
    num = validation_images(config, parts)
    # Equal batches, at most as large as in training, each a multiple of the number of devices.
    size = min(config.training.batch_size, num) // num_devices * num_devices
    rows = devices.local_rows(parts.placement, size)
    chosen = division.stratified(held_out, num // size * size, config.seed)
    read = (
        devices.put_batch(
            parts.placement, {"image": batch["image"][rows], "label": batch["label"][rows]}
        )
        for batch in order.sequential(chosen, size)
    )
    key = choice.key_for(config.seed, "validation")
    return loop.evaluate(parts.eval_step, params, read, key)["loss"]


def watched(config: ConfigDict) -> AbstractContextManager[Callable[[], None]]:
    """`stall.watched`, if there are other processes that this one could wait for in vain."""
    limit = config.training.stall_seconds
    if limit and devices.num_processes() > 1:
        return stall.watched(limit)
    return contextlib.nullcontext(lambda: None)


def alive_at_each(batches: Iterator[Batch], alive: Callable[[], None]) -> Iterator[Batch]:
    for batch in batches:
        alive()
        yield batch


def facts(train: source.Source) -> dict[str, Any]:
    """What a checkpoint and a result say about the images."""
    return {
        "class_names": train.class_names,
        "data_sha256": source.fingerprint(train),
        "num_images": len(train.labels),
    }


def describe(config: ConfigDict, parts: Parts, first: int) -> str:
    return (
        f"{len(parts.splits.train.labels)} training images of "
        f"{len(parts.splits.train.class_names)} classes, "
        f"{states.count_parameters(parts.state.params):,} parameters, "
        f"{parts.placement.num_devices} {parts.placement.platform} device(s), "
        f"step {first} to {config.training.num_steps}"
    )


def compiled(config: ConfigDict, parts: Parts, begin: states.TrainState) -> Parts:
    """The parts with the step compiled; says what it takes, and warns if it may not fit.

    Under `pmap` and with several processes, the step is compiled when it is first called.
    """
    if devices.num_processes() > 1 or parts.placement.parallel == "pmap":
        return parts
    program = training.compile_train_step(parts.placement, parts.programs, begin)
    takes, held = footprint.of(program), footprint.num_bytes(begin)
    limit = footprint.capacity(parts.placement, held)
    needs, there = units.num_bytes(takes.total), units.num_bytes(limit)
    print(
        f"{training.gflop_an_image(config, parts.placement, takes):.3g} GFLOP an image, "
        f"{needs} a device of {there}, checkpoints of {units.num_bytes(held)}",
        flush=True,
    )
    if takes.total > limit:
        print(
            f"warning: may not fit: batch {config.training.batch_size} needs {needs} of {there}; "
            "--mode=plan finds what does",
            file=sys.stderr,
            flush=True,
        )
    return parts._replace(train_step=training.with_program(parts.programs, program))


def reporter(
    config: ConfigDict, files: Open, first: int
) -> Callable[[int, dict[str, float]], None]:
    """A function that sends a line of metrics to the files and, with the speed, to the progress bar."""
    before, at = time.monotonic(), first
    rate = jax.jit(optimizers.build_rate(config.optim, config.training.num_steps))

    def report(done: int, values: dict[str, float]) -> None:
        nonlocal before, at
        now = time.monotonic()
        speed = (done - at) * config.training.batch_size / max(now - before, 1e-9)
        before, at = now, done
        files.writer.scalars(done, values)
        files.writer.shown(
            done, {"images_per_second": speed, "learning_rate": float(rate(done - 1))}
        )
        if skipped := values.get("skipped_steps"):
            print(
                f"warning: {skipped:.0f} step(s) up to step {done} were not finite and left out",
                file=sys.stderr,
            )
        losses = {name: values[name] for name in ("loss",) if name in values}
        files.show(done, **losses, images_per_second=speed)

    return report


def painter(
    config: ConfigDict,
    workdir: pathlib.Path,
    names: Sequence[str],
    programs: training.Programs,
) -> Callable[[int, states.TrainState, metrics.Writer], None]:
    """A function that draws samples from the same noise each time, one row per class.

    Refuses here what cannot be sampled, before the training.
    """
    draw = trained.build_draw(config, programs.net, programs.table, "progress")
    labels = np.repeat(np.arange(len(names)), config.sampling.images_per_class)

    def paint(at: int, state: states.TrainState, writer: metrics.Writer) -> None:
        images = np.concatenate(list(draw(denoising.Weights(state.ema_params), labels)))
        if not devices.is_writer():
            return
        picture = pictures.grid(
            images,
            config.sampling.images_per_class,
            row_labels=names if trained.knows_labels(programs.net, len(names)) else None,
            title=f"step {at}",
        )
        pictures.save(rundir.figures(workdir) / "samples" / f"{at:07d}.png", picture)
        writer.pictures(at, {"samples": picture})

    return paint
