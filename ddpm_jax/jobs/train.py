"""--mode=train: real images to a diffusion model. The same command goes on with an interrupted run."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from clu import parameter_overview
from ml_collections import ConfigDict

from ddpm_jax import metrics, progress, rundir
from ddpm_jax.assembly import (
    choice,
    datasets,
    denoising,
    networks,
    objective,
    optimizers,
    trained,
)
from ddpm_jax.data import order, source
from ddpm_jax.training import (
    checkpoints,
    devices,
    fingerprint,
    loop,
    optim,
    retention,
    signals,
    step,
)
from ddpm_jax.training import state as states
from ddpm_jax.types import Batch, Pixels
from ddpm_jax.viz import pictures


class Parts(NamedTuple):
    """What a training run is made of."""

    splits: source.Splits
    placement: devices.Placement
    state: states.TrainState
    train_step: step.TrainStep
    eval_step: step.EvalStep
    draw: Callable[..., Iterator[Pixels]]


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    rundir.claim(workdir, config.to_dict())
    inputs = rundir.model_inputs(config.to_dict())
    return rundir.stage(workdir, "train", inputs, lambda: train(config, workdir))


def train(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Train to the last step and return the fields of `results/train.json`.

    A signal ends the program with status `signals.STOPPED`, the state saved.
    """
    parts = assemble(config)
    facts = {
        "class_names": parts.splits.train.class_names,
        "data_sha256": source.fingerprint(parts.splits.train),
        "num_images": len(parts.splits.train.labels),
    }
    begin, losses = restore(parts, rundir.checkpoints(workdir), facts)
    first, wanted = int(begin.step), config.training.num_steps
    print(describe(config, parts, first), flush=True)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        received = stack.enter_context(signals.deferred())
        writer = stack.enter_context(contextlib.closing(metrics.open_writer(workdir, first)))
        save = stack.enter_context(
            checkpoints.saver(rundir.checkpoints(workdir), keep=config.training.keep)
        )
        show = stack.enter_context(progress.bar("train", wanted, "steps", first))

        def validate(at: int, state: states.TrainState) -> None:
            losses[at] = validation_loss(config, parts, state)
            writer.scalars(at, {"validation_loss": losses[at]})

        end = loop.run(
            parts.train_step,
            begin,
            batches(config, parts, first),
            key=choice.key_for(config.seed, "train"),
            num_steps=wanted,
            log_every=config.training.log_every,
            on_log=reporter(config, writer, show, first),
            actions=[
                loop.Action(config.training.eval_every, validate),
                loop.Action(config.training.sample_every, painter(config, workdir, parts, writer)),
                loop.Action(
                    config.training.save_every,
                    lambda at, state: save(state, losses.get(at), facts),
                ),
            ],
            stop=devices.agreed(parts.placement, received),
        )
        last = int(end.step)
        if last == wanted and last not in losses:
            validate(last, end)
        save(end, losses.get(last), facts)
    if last < wanted:
        print(
            f"{received() or 'another process was asked to end'}: stopped and saved at step {last} "
            f"of {wanted}; run the same command to go on",
            file=sys.stderr,
        )
        sys.exit(signals.STOPPED)
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


def assemble(config: ConfigDict) -> Parts:
    placement = devices.place(config.training.parallel)
    splits = datasets.build_splits(config.data, config.seed)
    table = denoising.build_levels(config.schedule)
    net = networks.build_net(config, len(splits.train.class_names))
    params = networks.init_net(net, config.data, choice.key_for(config.seed, "init"))
    loss_fn = objective.build_loss(config, net, table)
    optimizer = optimizers.build_optimizer(config.optim, config.training.num_steps)
    size = config.training.batch_size
    shapes = {
        "image": jax.ShapeDtypeStruct((size, *datasets.image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }
    train_step = step.make_train_step(
        loss_fn,
        optimizer,
        ema_decay=optim.ema_decay(config.optim.ema_decay),
        accumulate=config.training.accumulate,
        unroll=placement.platform == "cpu",
        axis_name=placement.axis_name,
    )
    eval_step = step.make_eval_step(
        objective.build_validation_loss(config, net, table), axis_name=placement.axis_name
    )
    return Parts(
        splits,
        placement,
        devices.replicate(placement, states.create(params, optimizer, loss_fn, shapes)),
        devices.compile_step(placement, train_step),
        devices.compile_eval(placement, eval_step),
        trained.build_draw(config, net, table, "progress"),
    )


def restore(
    parts: Parts, directory: pathlib.Path, facts: Mapping[str, Any]
) -> tuple[states.TrainState, dict[int, float]]:
    """Where to begin, and the validation loss there, if it is known.

    Raises ValueError when the images are not those that the checkpoint was trained on.
    """
    target = devices.abstract(parts.placement, parts.state)
    restored = checkpoints.restore(directory, target)
    if restored is None:
        return parts.state, {}
    before = restored.facts["extra"]["data_sha256"]
    if before != facts["data_sha256"]:
        raise ValueError(
            f"the training images have changed under this run: SHA-256 was {before}, is "
            f"{facts['data_sha256']}; bring them back, or give another --workdir"
        )
    loss = restored.facts["validation_loss"]
    return restored.state, {} if loss is None else {int(restored.state.step): loss}


def batches(config: ConfigDict, parts: Parts, first: int) -> Iterator[Batch]:
    """Batch i of the run is a function of (seed, i) alone."""
    rows = devices.local_rows(parts.placement, config.training.batch_size)
    for batch in order.batches(
        parts.splits.train, config.training.batch_size, config.seed, first, rows
    ):
        yield devices.put_batch(parts.placement, batch)


def validation_loss(config: ConfigDict, parts: Parts, state: states.TrainState) -> float:
    """Of the averaged weights, on the same images and with the same noise each time."""
    held_out = parts.splits.validation
    num = min(config.training.eval_images, len(held_out.labels))
    # Equal batches: at most as large as the training's, each a multiple of the devices.
    per_device = min(config.training.batch_size, num) // parts.placement.num_devices
    if per_device == 0:
        raise ValueError(
            f"{num} validation images do not fill {parts.placement.num_devices} devices; "
            "raise data.validation_fraction"
        )
    size = per_device * parts.placement.num_devices
    rows = devices.local_rows(parts.placement, size)
    chosen = source.take(held_out, range(num // size * size))
    read = (
        devices.put_batch(
            parts.placement, {"image": batch["image"][rows], "label": batch["label"][rows]}
        )
        for batch in order.sequential(chosen, size)
    )
    key = choice.key_for(config.seed, "validation")
    return loop.evaluate(parts.eval_step, state.ema_params, read, key)["loss"]


def reporter(
    config: ConfigDict, writer: metrics.Writer, show: Callable[..., None], first: int
) -> Callable[[int, dict[str, float]], None]:
    """What is done with a line of metrics: to the files, and to the bar with its speed."""
    before, at = time.monotonic(), first

    def report(done: int, values: dict[str, float]) -> None:
        nonlocal before, at
        now = time.monotonic()
        speed = (done - at) * config.training.batch_size / max(now - before, 1e-9)
        before, at = now, done
        writer.scalars(done, values)
        writer.speeds(done, {"images_per_second": speed})
        show(done, loss=values["loss"], images_per_second=speed)

    return report


def painter(
    config: ConfigDict, workdir: pathlib.Path, parts: Parts, writer: metrics.Writer
) -> Callable[[int, states.TrainState], None]:
    """Samples from the same noise each time, one row a class."""
    names = parts.splits.train.class_names
    labels = np.repeat(np.arange(len(names)), config.sampling.images_per_class)

    def paint(at: int, state: states.TrainState) -> None:
        images = np.concatenate(list(parts.draw(state.ema_params, labels)))
        if not devices.is_writer():
            return
        picture = pictures.grid(
            images, config.sampling.images_per_class, row_labels=names, title=f"step {at}"
        )
        pictures.save(rundir.figures(workdir) / "samples" / f"{at:07d}.png", picture)
        writer.pictures(at, {"samples": picture})

    return paint


def describe(config: ConfigDict, parts: Parts, first: int) -> str:
    return (
        f"{len(parts.splits.train.labels)} training images of "
        f"{len(parts.splits.train.class_names)} classes, "
        f"{parameter_overview.count_parameters(parts.state.params):,} parameters, "
        f"{parts.placement.num_devices} {parts.placement.platform} device(s), "
        f"step {first} to {config.training.num_steps}"
    )
