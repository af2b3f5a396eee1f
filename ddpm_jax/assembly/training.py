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

from ddpm_jax.assembly import choice, datasets, denoising, networks, objective, optimizers
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


def check_intervals(config: ConfigDict) -> None:
    """Raises ValueError if the training would log, validate, save or draw samples every 0 steps."""
    at_the_end = dict.fromkeys(("log_every", "eval_every", "save_every"), "at the end only")
    for name, when in (at_the_end | {"sample_every": "never"}).items():
        if config.training[name] < 1:
            raise ValueError(
                f"training.{name} is {config.training[name]}; wanted at least 1, or more than "
                f"training.num_steps for {when}"
            )


def check_kept(config: ConfigDict) -> None:
    """Raises ValueError if what the sampling section names would not be there when the training is over.

    That is a checkpoint, an average of the weights, or the checkpoint of autoguidance. Also if `keep_every`
    names steps at which nothing is saved, unless a signal happens to come, if a grid would have no images,
    and as `check_intervals` and `denoising.check_variance` do.
    """
    check_intervals(config)
    denoising.check_variance(config)
    if config.sampling.images_per_class < 1:
        raise ValueError(
            f"sampling.images_per_class is {config.sampling.images_per_class}; wanted at least 1"
        )
    every, saved = config.training.keep_every, config.training.save_every
    if every < 0 or every % saved:
        raise ValueError(
            f"training.keep_every is {every}; wanted 0 or a multiple of training.save_every, {saved}"
        )
    check_average(config)
    sampled = config.sampling.checkpoint
    if sampled == "best" and not config.training.eval_images:
        raise ValueError(
            "sampling.checkpoint is 'best' and training.eval_images is 0: no checkpoint has a validation loss"
        )
    if sampled not in ("newest", "best"):
        require_kept(config.training, "sampling.checkpoint", sampled)
    if denoising.autoguided(config):
        bad, newest = config.sampling.autoguidance_checkpoint, str(config.training.num_steps)
        require_kept(config.training, "sampling.autoguidance_checkpoint", bad)
        if bad == (newest if sampled == "newest" else sampled):
            raise ValueError(
                f"sampling.autoguidance_checkpoint is {bad!r}, wanted another checkpoint than the one that "
                "is sampled"
            )


def check_average(config: ConfigDict) -> None:
    """Raises ValueError if the training makes no average that `sampling.average` names."""
    wanted, known = config.sampling.average, ["ema", *optimizers.build_averages(config.optim)]
    if wanted == "best" and (len(known) == 1 or not config.training.eval_images):
        raise ValueError(
            f"sampling.average is 'best', optim.averages is {tuple(config.optim.averages)} and "
            f"training.eval_images is {config.training.eval_images}; wanted several averages, and validation "
            "images to choose by"
        )
    if wanted not in (*known, "best"):
        raise ValueError(
            f"sampling.average is {wanted!r}; known: {', '.join(known)}; optim.averages adds to them"
        )


def require_kept(config: ConfigDict, field: str, wanted: str) -> None:
    """Raises ValueError if `field` names no step whose checkpoint the training section keeps."""
    every, saved = config.keep_every, config.save_every
    steps = [*range(saved, config.num_steps, saved), config.num_steps]
    ladder = range(every, config.num_steps, every) if every else ()
    if not wanted.isdecimal() or int(wanted) not in {*steps[-config.keep :], *ladder}:
        raise ValueError(
            f"{field} is {wanted!r}, and the training keeps no checkpoint of that step; set "
            f"training.keep_every to a divisor of it and a multiple of training.save_every, {saved}"
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
    check_intervals(config)
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
