"""--mode=train_guide: the classifier that `sampling.classifier_scale` guides samples by.

It sees training images only, noised to every level as the generator sees them, with t as an input.
"""

import contextlib
import pathlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels, progress, run_files, rundir, stages, view
from ddpm_jax.assembly import choice, datasets, denoising, guides
from ddpm_jax.data import order, source
from ddpm_jax.diffusion import process, schedules
from ddpm_jax.models import trained
from ddpm_jax.training import (
    checkpoints,
    devices,
    fingerprint,
    loop,
    manifest,
    optim,
    retention,
    signals,
    state,
    step,
)
from ddpm_jax.types import Params
from ddpm_jax.viz import plots

NUM_LEVELS = 11
MOST_TESTED = 1024


def folder(workdir: pathlib.Path) -> pathlib.Path:
    return trained.guide_directory(rundir.checkpoints(workdir))


@stages.stage("train_guide", owns=folder)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    splits = datasets.build_splits(config.data, config.seed)
    table = denoising.build_levels(config.schedule)
    net = guides.build_net(config.guide, len(splits.train.class_names))
    directory = folder(files.workdir)
    params = fit(config, net, table, splits.train, directory, files)
    files.output(directory / str(config.guide.num_steps) / manifest.NAME)
    accuracies = by_level(config, net, params.ema_params, table, splits.validation)
    if config.guide.noised and devices.is_writer():
        t = np.array(list(accuracies), np.float64)
        curve = plots.Curve(t, 100 * np.array(list(accuracies.values())))
        figure = plots.lines(
            {"guide": curve},
            x_label="t",
            y_label="accuracy (%)",
            title=f"Guiding classifier on noised images of {splits.validation.name}",
            levels={"chance": 100 / len(splits.train.class_names)},
        )
        plots.save(files.figure("guide.png"), figure)
    return {
        "step": config.guide.num_steps,
        "accuracy_by_t": accuracies,
        "measured_on": splits.validation.name,
        "n": min(len(splits.validation.labels), MOST_TESTED),
        "seed": config.seed,
    }


def fit(
    config: ConfigDict,
    net: Any,
    table: schedules.Level,
    train: source.Source,
    directory: pathlib.Path,
    files: run_files.Files,
) -> state.TrainState:
    """The state after the last step, saved in `directory`; goes on where a call was interrupted.

    A signal ends the program with status `signals.STOPPED`, the state saved.
    """
    placement = devices.place()
    guide = config.guide
    key = choice.key_for(config.seed, "guide")
    size = placement.rounded_up(guide.batch_size)
    train_step, begin = build_step(config, net, table, placement, key, size)
    facts = {"class_names": train.class_names, "data_sha256": source.fingerprint(train)}
    begin = restore(directory, placement, begin, view.unseen(config), facts)
    first = int(begin.step)
    rows = devices.local_rows(placement, size)
    read = order.batches(train, size, config.seed, first, rows)
    with contextlib.ExitStack() as stack:
        received = stack.enter_context(signals.deferred())
        show = stack.enter_context(progress.bar("guide", guide.num_steps, "steps", first))
        write = stack.enter_context(checkpoints.saver(directory, keep=1))

        def save(at: int, now: state.TrainState) -> None:
            sha256 = fingerprint.sha256(now.ema_params)
            write(now, extra=facts | {"reads": files.notes.fields, "ema_sha256": sha256})

        end = loop.run(
            devices.compile_step(placement, train_step),
            begin,
            (devices.put_batch(placement, batch) for batch in read),
            key=jax.random.fold_in(key, 1),
            num_steps=guide.num_steps,
            log_every=max(1, guide.num_steps // 10),
            on_log=lambda done, values: show(done, loss=values["loss"]),
            actions=[loop.Action(config.training.save_every, save)],
            stop=devices.agreed(placement, received),
        )
        save(int(end.step), end)
    if int(end.step) < guide.num_steps:
        why = received() or "another process was asked to end"
        print(
            f"{why}: stopped and saved at step {int(end.step)} of {guide.num_steps}; "
            "run the same command to go on",
            file=sys.stderr,
        )
        sys.exit(signals.STOPPED)
    return end


def build_step(
    config: ConfigDict,
    net: Any,
    table: schedules.Level,
    placement: devices.Placement,
    key: Key[Array, ""],
    size: int,
) -> tuple[step.TrainStep, state.TrainState]:
    """One step of the training, and the state before the first."""
    guide = config.guide
    params = guides.init_net(net, guide, key, datasets.image_shape(config))
    rate = optim.warmup_cosine(guide.learning_rate, num_steps=guide.num_steps)
    optimizer = optim.adamw(rate, weight_decay=0.01)
    loss_fn = guides.build_loss(config, net, table)
    shapes = {
        "image": jax.ShapeDtypeStruct((size, *datasets.image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }
    begin = state.create(params, optimizer, loss_fn, shapes)
    train_step = step.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.99))
    return train_step, devices.replicate(placement, begin)


def restore(
    directory: pathlib.Path,
    placement: devices.Placement,
    begin: state.TrainState,
    config: ConfigDict,
    facts: Mapping[str, Any],
) -> state.TrainState:
    """Where to begin. What was made from other fields or images is removed."""
    sound = retention.sound(directory)
    if any(
        any(run_files.changed_fields(found["extra"]["reads"], config))
        or found["extra"]["data_sha256"] != facts["data_sha256"]
        for found in sound.values()
    ):
        if devices.is_writer():
            for at in sound:
                shutil.rmtree(directory / str(at))
        devices.barrier("guide")
        return begin
    restored = checkpoints.restore(directory, devices.abstract(placement, begin))
    return restored.state if restored else begin


def by_level(
    config: ConfigDict, net: Any, params: Params, table: schedules.Level, held_out: source.Source
) -> dict[str, float]:
    """Accuracy at some t, on validation images; only at t = 0 for a classifier of clean images."""
    num = min(len(held_out.labels), MOST_TESTED)
    held_out = source.stratified(held_out, num, config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(held_out)))
    eps = jax.random.normal(choice.key_for(config.seed, "guide accuracy"), x0.shape)

    @jax.jit
    def accuracy(params, level):
        t = jnp.broadcast_to(level.t, x0.shape[:1]) if config.guide.noised else None
        logits = net.apply(params, process.noise(x0, level, eps), t)
        return jnp.mean(jnp.argmax(logits, -1) == held_out.labels)

    last = table.num_steps if config.guide.noised else 0
    rows = np.unique(np.linspace(0, last, NUM_LEVELS).astype(int))
    return {str(row): float(accuracy(params, table[int(row)])) for row in rows}
