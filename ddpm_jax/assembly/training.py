"""From a config to all parts of a training run."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from ddpm_jax.assembly import (
    choice,
    datasets,
    denoising,
    networks,
    objective,
    optimizers,
    training_fields,
)
from ddpm_jax.data import source
from ddpm_jax.diffusion import schedules
from ddpm_jax.training import calls, compilation, devices, footprint, optim, step
from ddpm_jax.training import state as states
from ddpm_jax.types import Batch


class Programs(NamedTuple):
    """The programs of a training run, and the shapes they are compiled for."""

    net: nn.Module
    num_classes: int
    table: schedules.Level
    begin: Callable[[], states.TrainState]
    """Makes the state before the first step; under `jax.eval_shape`, only its shapes."""
    num_resident: int
    """Images that stay on the devices; 0: each batch is sent."""
    batch: dict[str, jax.ShapeDtypeStruct]
    """Shapes of the batch of a whole call, over all devices."""
    train_step: step.TrainStep
    eval_step: step.EvalStep


class Parts(NamedTuple):
    """The parts of a training run."""

    splits: source.Splits
    placement: devices.Placement
    programs: Programs
    state: states.TrainState
    resident: dict[str, Array]
    """Images and labels that stay on the devices; may be empty."""
    train_step: step.TrainStep
    eval_step: step.EvalStep


def build_parts(config: ConfigDict) -> Parts:
    placement = devices.place(config.training.parallel)
    splits = datasets.build_splits(config.data, config.seed)
    resident = resident_images(config, splits.train)
    programs = build_programs(
        config, placement, len(splits.train.class_names), len(resident.get("label", ()))
    )
    return Parts(
        splits,
        placement,
        programs,
        devices.replicate(placement, programs.begin()),
        devices.replicate(placement, resident),
        programs.train_step,
        programs.eval_step,
    )


def warn(config: ConfigDict, table: schedules.Level) -> None:
    """Warn on stderr, once, about settings that work but that hardly anybody wants."""
    warning = denoising.signal_left(config.schedule, table)
    if warning and devices.is_writer():
        print(warning, file=sys.stderr, flush=True)


def build_programs(
    config: ConfigDict, placement: devices.Placement, num_classes: int, num_resident: int = 0
) -> Programs:
    table = denoising.build_levels(config.schedule)
    net = networks.build_net(config, num_classes)
    loss_fn = objective.build_loss(config, net, table)
    past = objective.build_past(config, table.num_steps)
    averages = optimizers.build_averages(config.optim)
    optimizer = optimizers.build_optimizer(config.optim, config.training.num_steps)
    shapes = batch_shapes(config)
    training_fields.check_intervals(config)
    together = config.training.steps_per_call
    if together < 1:
        raise ValueError(f"training.steps_per_call is {together}; it must be at least 1")

    def begin() -> states.TrainState:
        params = networks.init_net(net, config.data, choice.key_for(config.seed, "init"))
        return states.create(params, optimizer, loss_fn, shapes, past, tuple(averages))

    train_step = step.make_train_step(
        loss_fn,
        optimizer,
        ema_decay=optim.ema_decay(config.optim.ema_decay),
        accumulate=config.training.accumulate,
        unroll=unrolled(placement),
        skip_nonfinite=config.training.skip_nonfinite,
        axis_name=placement.axis_name,
        past=past,
        averages=averages,
    )
    eval_step = step.make_eval_step(
        objective.build_validation_loss(config, net, table), axis_name=placement.axis_name
    )
    if together > 1 or num_resident:
        call = calls.of_any_batch(train_step, unroll=unrolled(placement))
        compiled = compilation.compile_call(placement, call)
        batch = call_shapes(placement, shapes, together, num_resident)
    else:
        compiled = compilation.compile_step(placement, train_step)
        batch = devices.abstract_batch(placement, shapes)
    return Programs(
        net,
        num_classes,
        table,
        begin,
        num_resident,
        batch,
        compiled,
        compilation.compile_eval(placement, eval_step),
    )


def batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    size = config.training.batch_size
    return {
        "image": jax.ShapeDtypeStruct((size, *datasets.image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }


def call_shapes(
    placement: devices.Placement,
    shapes: dict[str, jax.ShapeDtypeStruct],
    together: int,
    num_resident: int,
) -> dict[str, jax.ShapeDtypeStruct]:
    """Batch shapes for a call of `together` steps, from those of one step's batch."""
    kept = {}
    if num_resident:
        whole = {
            name: jax.ShapeDtypeStruct((num_resident, *shapes[name].shape[1:]), shapes[name].dtype)
            for name in ("image", "label")
        }
        kept = devices.abstract(placement, whole)
        shapes = {"index": jax.ShapeDtypeStruct(shapes["label"].shape, jnp.int32)}
    return devices.abstract_batches(placement, shapes, together) | kept


def resident_images(config: ConfigDict, train: source.Source) -> dict[str, np.ndarray]:
    """Arrays that stay on each device, if they fit into `training.resident_mib`, else nothing."""
    if train.images is None or train.images.nbytes > config.training.resident_mib << 20:
        return {}
    return {"image": train.images, "label": train.labels}


def unrolled(placement: devices.Placement) -> bool:
    """Whether the loop over the parts of a batch is unrolled: see `make_train_step`."""
    return placement.platform == "cpu"


def compile_train_step(
    placement: devices.Placement, programs: Programs, state: states.TrainState
) -> jax.stages.Compiled:
    """The compiled training step: for its figures and, except under `pmap`, to be called as the step.

    Only the shapes of `state` are read.
    """
    return programs.train_step.lower(  # type: ignore[attr-defined]
        devices.abstract(placement, state),
        programs.batch,
        jax.eval_shape(lambda: jax.random.key(0)),
    ).compile()


def gflop_an_image(
    config: ConfigDict, placement: devices.Placement, step: footprint.Footprint
) -> float:
    """GFLOP per image of a training step, with its share of the work done once per batch."""
    counted = config.training.batch_size / placement.num_devices
    if unrolled(placement):
        counted *= config.training.steps_per_call
    else:
        # XLA counts the body of a loop, over parts or steps, once.
        counted /= config.training.accumulate
    return step.gflop / counted


def with_program(programs: Programs, compiled: jax.stages.Compiled) -> step.TrainStep:
    """The training step; uses `compiled` for batches of the shapes that it was compiled for."""

    def call(state: states.TrainState, batch: Batch, key: Key[Array, ""]) -> states.TrainState:
        same = all(batch[name].shape == leaf.shape for name, leaf in programs.batch.items())
        return (compiled if same else programs.train_step)(state, batch, key)

    return call
