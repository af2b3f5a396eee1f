"""Functions of one program for all devices: compiled under "jit" or "pmap", as the placement says."""

from collections.abc import Callable
from typing import Any

import jax

from ddpm_jax.training import devices
from ddpm_jax.training.devices import Placement
from ddpm_jax.training.step import EvalStep, TrainStep
from ddpm_jax.types import Batch


def compile_briefly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one device, in less time, a function that is called once or takes no time.

    On a CPU, LLVM spends most of the time of compiling on loops: of the random numbers of a classifier's
    initialization, 14 s of the processor; at level 1 it takes 3 s. Where the arguments are traced, as
    under `jax.eval_shape`, JAX takes no such option, and the function is called as it is.
    """
    on_cpu = devices.place().platform == "cpu"
    options = {"xla_backend_optimization_level": 1} if on_cpu else None
    compiled = jax.jit(function, compiler_options=options)

    def call(*args: Any) -> Any:
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args))
        return function(*args) if traced else compiled(*args)

    return call


def compile_step(placement: Placement, step: TrainStep) -> TrainStep:
    """Compile for all devices. The input state is donated: it no longer exists afterwards."""
    if placement.parallel == "pmap":
        return _pmapped(placement, step, donate=True)
    return jax.jit(
        step,
        in_shardings=(placement.replicated, placement.by_rows, placement.replicated),
        out_shardings=placement.replicated,
        donate_argnums=0,
    )


def compile_call(placement: Placement, call: TrainStep) -> TrainStep:
    """`compile_step` for a step that takes each array of a batch with the sharding it already has.

    Raises ValueError under "pmap".
    """
    if placement.parallel == "pmap":
        raise ValueError(
            "training.steps_per_call above 1 and training.resident_mib want "
            "training.parallel 'jit', got 'pmap'"
        )
    return jax.jit(
        call,
        in_shardings=(placement.replicated, None, placement.replicated),
        out_shardings=placement.replicated,
        donate_argnums=0,
    )


def compile_eval(placement: Placement, step: EvalStep) -> EvalStep:
    """Compile for all devices."""
    if placement.parallel == "pmap":
        return _pmapped(placement, step, donate=False)
    return jax.jit(
        step,
        in_shardings=(placement.replicated, placement.by_rows, placement.replicated),
        out_shardings=placement.replicated,
    )


def spread(placement: Placement, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`function(params, rows) -> rows`, compiled so that each device does its share of the rows."""
    return jax.jit(
        function,
        in_shardings=(placement.replicated, placement.by_rows),
        out_shardings=placement.by_rows,
    )


def _pmapped(placement: Placement, step: Callable[..., Any], *, donate: bool) -> Any:
    compiled = jax.pmap(
        step,
        axis_name=devices.AXIS,
        in_axes=(None, 0, None),
        out_axes=None,
        devices=None if devices.num_processes() > 1 else placement.local_devices,
        donate_argnums=(0,) if donate else (),
    )
    if devices.num_processes() == 1:
        return compiled

    def as_global(leaf: Any) -> Any:
        shards = [shard.data for shard in leaf.addressable_shards]
        return jax.make_array_from_single_device_arrays(leaf.shape, placement.replicated, shards)

    def run(state: Any, batch: Batch, key: Any) -> Any:
        return jax.tree.map(as_global, compiled(state, batch, key))

    return run
