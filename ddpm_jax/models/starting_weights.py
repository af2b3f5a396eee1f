"""Weights that a training starts from: those of another run."""

import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.assembly.training import Parts
from ddpm_jax.training import checkpoints, devices, manifest
from ddpm_jax.training import state as states


def begin(config: ConfigDict, parts: Parts, read: Callable[[str], str]) -> states.TrainState:
    """The state before the first step.

    With `training.start_from`, it has the averaged weights of that run's newest checkpoint, whose manifest
    is given to `read`. Raises FileNotFoundError if there is none, ValueError if it is of another network.
    """
    if not config.training.start_from:
        return parts.state
    directory = rundir.checkpoints(pathlib.Path(config.training.start_from))
    target = devices.abstract(parts.placement, parts.state.params)
    # Restored twice, because the step donates its state: two leaves must not share a buffer.
    averaged, same = (checkpoints.restore_params(directory, target) for _ in range(2))
    if averaged is None or same is None:
        raise FileNotFoundError(
            f"{directory} holds no checkpoint; training.start_from wants the work directory of a run "
            "that has one"
        )
    read(str(directory / str(averaged.facts["step"]) / manifest.NAME))
    return parts.state.replace(params=averaged.params, ema_params=same.params)
