"""--mode=train: real images to a diffusion model. The same command goes on with an interrupted run."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from ddpm_jax import metrics, progress, run_files, rundir, stages, view
from ddpm_jax.assembly import choice, denoising, reproduction, training
from ddpm_jax.data import source
from ddpm_jax.models import trained
from ddpm_jax.planning import timings
from ddpm_jax.training import (
    checkpoints,
    devices,
    fingerprint,
    loop,
    retention,
    signals,
)
from ddpm_jax.training import state as states
from ddpm_jax.types import Batch
from ddpm_jax.viz import pictures


class Open(NamedTuple):
    """What is open while the steps go by."""

    received: Callable[[], str | None]
    writer: metrics.Writer
    save: checkpoints.Save
    show: Callable[..., None]
    alive: Callable[[], None]


@stages.stage("train", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """Train to the last step and return the fields of `results/train.json`.

    A signal ends the program with status `signals.STOPPED`, the state saved.
    """
    files.claim()
    workdir = files.workdir
    parts = training.build_parts(config)
    training.warn(config, parts.programs.table)
    names = parts.splits.train.class_names
    paint = painter(view.unseen(config), workdir, names, parts.programs)
    facts = {
        "class_names": parts.splits.train.class_names,
        "data_sha256": source.fingerprint(parts.splits.train),
        "num_images": len(parts.splits.train.labels),
    }

    def made_from() -> dict[str, Any]:
        return facts | {"reads": files.notes.fields}

    begin, losses = restore(parts, rundir.checkpoints(workdir), facts)
    first, wanted = int(begin.step), config.training.num_steps
    print(describe(config, parts, first), flush=True)
    parts = announced(config, parts, begin)
    started = time.monotonic()
    try:
        with opened(config, workdir, first) as open_now:
            end = take_steps(config, parts, open_now, paint, begin, losses, made_from)
    except loop.NonFinite as error:
        raise FloatingPointError(explain(config, workdir, parts, error)) from error
    last = int(end.step)
    if last < wanted:
        why = open_now.received() or "another process was asked to end"
        print(
            f"{why}: stopped and saved at step {last} of {wanted}; run the same command to go on",
            file=sys.stderr,
        )
        sys.exit(signals.STOPPED)
    devices.barrier("trained")  # the last checkpoint is there for all processes
    seconds = time.monotonic() - started
    return {
        "step": last,
        "params_sha256": fingerprint.sha256(end.params),
        "ema_sha256": fingerprint.sha256(end.ema_params),
        "seconds": round(seconds, 2),
        "images_per_second": round((last - first) * config.training.batch_size / seconds, 2),
        "validation_loss": losses[last],
        "best_step": retention.best_step(rundir.checkpoints(workdir)),
        "resumed_at": first,
        "num_parameters": parameter_overview.count_parameters(end.params),
        "num_devices": parts.placement.num_devices,
        "platform": parts.placement.platform,
        "seed": config.seed,
        **facts,
    }


def announced(
    config: ConfigDict, parts: training.Parts, begin: states.TrainState
) -> training.Parts:
    """Say in short what the training will take, and hand on its compiled step."""
    # Several processes would have to agree on how many steps they time; `pmap` compiles by itself.
    if devices.num_processes() > 1 or parts.placement.parallel == "pmap":
        return parts
    parts, lines = timings.foresee(view.unseen(config), parts, begin)
    for line in lines:
        to = sys.stderr if line.startswith("warning") else sys.stdout
        print(line, file=to, flush=True)
    return parts


@contextlib.contextmanager
def opened(config: ConfigDict, workdir: pathlib.Path, first: int) -> Iterator[Open]:
    """All of it is closed, and the last save finished, when the block is left."""
    with contextlib.ExitStack() as stack:
        writer = metrics.open_writer(workdir, first) if devices.is_writer() else metrics.no_writer()
        yield Open(
            stack.enter_context(signals.deferred()),
            stack.enter_context(contextlib.closing(writer)),
            stack.enter_context(
                checkpoints.saver(rundir.checkpoints(workdir), keep=config.training.keep)
            ),
            stack.enter_context(progress.bar("train", config.training.num_steps, "steps", first)),
            stack.enter_context(training.watched(config)),
        )


def take_steps(
    config: ConfigDict,
    parts: training.Parts,
    files: Open,
    paint: Callable[[int, states.TrainState, metrics.Writer], None],
    begin: states.TrainState,
    losses: dict[int, float],
    made_from: Callable[[], dict[str, Any]],
) -> states.TrainState:
    """From `begin` to the last step or to a signal; the state it returns is saved.

    `made_from()` is what a checkpoint says of its parameters beside their step.
    """
    wanted = config.training.num_steps

    def validate(at: int, state: states.TrainState) -> None:
        if at not in losses:
            losses[at] = training.validation_loss(config, parts, state)
            files.writer.scalars(at, {"validation_loss": losses[at]})

    def save(at: int, state: states.TrainState) -> None:
        # Before the save, so that a run killed after it does not come to this line again.
        if at == wanted:
            validate(at, state)
        files.save(state, losses.get(at), made_from())

    end = loop.run(
        parts.train_step,
        begin,
        alive_at_each(training.batches(config, parts, int(begin.step)), files.alive),
        key=choice.key_for(config.seed, "train"),
        num_steps=wanted,
        log_every=config.training.log_every,
        on_log=reporter(config, files, int(begin.step)),
        actions=[
            loop.Action(config.training.eval_every, validate),
            loop.Action(
                config.training.sample_every, lambda at, state: paint(at, state, files.writer)
            ),
            loop.Action(config.training.save_every, save),
        ],
        stop=devices.agreed(parts.placement, files.received),
        num_in=training.steps_in(parts.placement),
    )
    save(int(end.step), end)
    return end


def alive_at_each(batches: Iterator[Batch], alive: Callable[[], None]) -> Iterator[Batch]:
    for batch in batches:
        alive()
        yield batch


def explain(
    config: ConfigDict, workdir: pathlib.Path, parts: training.Parts, error: loop.NonFinite
) -> str:
    """Keep the step for --mode=replay, and say what is known of it."""
    directory = rundir.nonfinite(workdir)
    kept = reproduction.keep(config, parts.splits.train, error.state, directory)
    text = f"{error}; its images are in {kept}, the state before it beside them"
    found, places = reproduction.find(config, directory)
    shown = ", ".join(map(str, places[:8]))
    return (
        f"{text}; --mode=replay shows it again\n{found}\nimages {shown}, ... of the training split"
    )


def restore(
    parts: training.Parts, directory: pathlib.Path, facts: Mapping[str, Any]
) -> tuple[states.TrainState, dict[int, float]]:
    """Where to begin, and the validation loss there, if it is known.

    Raises ValueError when the images are not those that the checkpoint was trained on.
    """
    target = devices.abstract(parts.placement, parts.state)
    restored = checkpoints.restore(directory, target)
    if restored is None:
        return parts.state, {}
    before = restored.facts["extra"].get("data_sha256")
    if before != facts["data_sha256"]:
        raise ValueError(
            f"the training images have changed under this run: SHA-256 was {before}, is "
            f"{facts['data_sha256']}; bring them back, or give another --workdir"
        )
    loss = restored.facts["validation_loss"]
    return restored.state, {} if loss is None else {int(restored.state.step): loss}


def reporter(
    config: ConfigDict, files: Open, first: int
) -> Callable[[int, dict[str, float]], None]:
    """What is done with a line of metrics: to the files, and to the bar with its speed."""
    before, at = time.monotonic(), first

    def report(done: int, values: dict[str, float]) -> None:
        nonlocal before, at
        now = time.monotonic()
        speed = (done - at) * config.training.batch_size / max(now - before, 1e-9)
        before, at = now, done
        files.writer.scalars(done, values)
        files.writer.speeds(done, {"images_per_second": speed})
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
    """Samples from the same noise each time, a row for each class.

    What cannot be sampled is refused here, before the training.
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


def describe(config: ConfigDict, parts: training.Parts, first: int) -> str:
    return (
        f"{len(parts.splits.train.labels)} training images of "
        f"{len(parts.splits.train.class_names)} classes, "
        f"{parameter_overview.count_parameters(parts.state.params):,} parameters, "
        f"{parts.placement.num_devices} {parts.placement.platform} device(s), "
        f"step {first} to {config.training.num_steps}"
    )
