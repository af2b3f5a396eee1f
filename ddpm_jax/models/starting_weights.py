"""Weights that a training starts from: those of another run."""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddpm_jax import rundir
from ddpm_jax.assembly.training import Parts
from ddpm_jax.training import checkpoints, devices, manifest
from ddpm_jax.training import state as states
from ddpm_jax.types import Params


def begin(source: str, parts: Parts, read: Callable[[str], str]) -> states.TrainState:
    """The state before the first step.

    With a `source`, the work directory of a run, it has the averaged weights of that run's newest
    checkpoint, whose manifest is given to `read`. Raises FileNotFoundError if there is none, ValueError if
    it is of another network.
    """
    if not source:
        return parts.state
    directory = rundir.checkpoints(pathlib.Path(source))
    target = devices.abstract(parts.placement, parts.state.params)
    found = checkpoints.restore_params(directory, target)
    if found is None:
        raise FileNotFoundError(
            f"{directory} holds no checkpoint; training.start_from wants the work directory of a run "
            "that has one"
        )
    read(str(directory / str(found.facts["step"]) / manifest.NAME))

    def copy() -> Params:
        # The step donates its state, and two leaves must not share a buffer.
        return jax.tree.map(jnp.copy, found.params)

    averages = {name: copy() for name in parts.state.averages}
    return parts.state.replace(params=found.params, ema_params=copy(), averages=averages)
