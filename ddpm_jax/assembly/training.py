"""From a config to all that a training run is made of."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

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
from ddpm_jax.diffusion import schedules
from ddpm_jax.training import devices, loop, optim, stall, step
from ddpm_jax.training import state as states
from ddpm_jax.types import Batch, Pixels


class Programs(NamedTuple):
    """What is compiled for a training run, and the shapes it is compiled for."""

    net: nn.Module
    num_classes: int
    table: schedules.Level
    begin: Callable[[], states.TrainState]
    """The state before the first step; under `jax.eval_shape` only its shapes."""
    batch: dict[str, jax.ShapeDtypeStruct]
    """Of the global batch."""
    train_step: step.TrainStep
    eval_step: step.EvalStep


class Parts(NamedTuple):
    """What a training run is made of."""

    splits: source.Splits
    placement: devices.Placement
    programs: Programs
    state: states.TrainState
    train_step: step.TrainStep
    eval_step: step.EvalStep
    draw: Callable[..., Iterator[Pixels]]


def build_parts(config: ConfigDict) -> Parts:
    placement = devices.place(config.training.parallel)
    splits = datasets.build_splits(config.data, config.seed)
    programs = build_programs(config, placement, len(splits.train.class_names))
    return Parts(
        splits,
        placement,
        programs,
        devices.replicate(placement, programs.begin()),
        programs.train_step,
        programs.eval_step,
        trained.build_draw(config, programs.net, programs.table, "progress"),
    )


def build_programs(config: ConfigDict, placement: devices.Placement, num_classes: int) -> Programs:
    table = denoising.build_levels(config.schedule)
    net = networks.build_net(config, num_classes)
    loss_fn = objective.build_loss(config, net, table)
    memory = objective.build_memory(config, table.num_steps)
    optimizer = optimizers.build_optimizer(config.optim, config.training.num_steps)
    shapes = batch_shapes(config)

    def begin() -> states.TrainState:
        params = networks.init_net(net, config.data, choice.key_for(config.seed, "init"))
        return states.create(params, optimizer, loss_fn, shapes, memory)

    train_step = step.make_train_step(
        loss_fn,
        optimizer,
        ema_decay=optim.ema_decay(config.optim.ema_decay),
        accumulate=config.training.accumulate,
        unroll=unrolled(placement),
        skip_nonfinite=config.training.skip_nonfinite,
        axis_name=placement.axis_name,
        memory=memory,
    )
    eval_step = step.make_eval_step(
        objective.build_validation_loss(config, net, table), axis_name=placement.axis_name
    )
    return Programs(
        net,
        num_classes,
        table,
        begin,
        shapes,
        devices.compile_step(placement, train_step),
        devices.compile_eval(placement, eval_step),
    )


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    size = config.training.batch_size
    return {
        "image": jax.ShapeDtypeStruct((size, *datasets.image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
        "progress": jax.ShapeDtypeStruct((size,), jnp.float32),
    }


def unrolled(placement: devices.Placement) -> bool:
    """Whether the parts of a batch are written out one after another: see `make_train_step`."""
    return placement.platform == "cpu"


def compile_train_step(placement: devices.Placement, programs: Programs) -> jax.stages.Compiled:
    """The training step's program, for its figures and, but under `pmap`, to be called as the step."""
    return programs.train_step.lower(  # type: ignore[attr-defined]
        devices.abstract(placement, jax.eval_shape(programs.begin)),
        devices.abstract_batch(placement, programs.batch),
        jax.eval_shape(lambda: jax.random.key(0)),
    ).compile()


def batches(config: ConfigDict, parts: Parts, first: int) -> Iterator[Batch]:
    """Batch i of the run is a function of (seed, i) alone."""
    size = config.training.batch_size
    rows = devices.local_rows(parts.placement, size)
    read = order.batches(parts.splits.train, size, config.seed, first, rows)
    for number, batch in enumerate(read, first):
        yield devices.put_batch(parts.placement, batch | progress(config, batch, number))


def progress(config: ConfigDict, batch: order.HostBatch, number: int) -> order.HostBatch:
    """The share of the run that is done before batch `number`: a loss may change with it."""
    done = number / config.training.num_steps
    return {"progress": np.full(len(batch["label"]), done, np.float32)}


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


def watched(config: ConfigDict) -> AbstractContextManager[Callable[[], None]]:
    """`stall.watched`, where there are other processes that this one could wait for in vain."""
    limit = config.training.stall_seconds
    if limit and devices.num_processes() > 1:
        return stall.watched(limit)
    return contextlib.nullcontext(lambda: None)
