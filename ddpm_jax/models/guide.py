"""A guide in training: the state it starts from, and its accuracy at each noise level."""

import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import choice
from ddpm_jax.data import division, source
from ddpm_jax.diffusion import process, schedules
from ddpm_jax.training import checkpoints, devices, retention, state
from ddpm_jax.types import Params

NUM_LEVELS = 11
MOST_TESTED = 1024


def restore(
    directory: pathlib.Path,
    placement: devices.Placement,
    begin: state.TrainState,
    still: Callable[[Mapping[str, Any]], bool],
    facts: Mapping[str, Any],
) -> state.TrainState:
    """The state to start from. Removes a guide of other images or other fields (`still(fields)` is false)."""
    sound = retention.sound(directory)
    others = any(
        not still(found["extra"].get("reads", {"": None}))
        or found["extra"]["data_sha256"] != facts["data_sha256"]
        for found in sound.values()
    )
    if devices.in_any(others):  # a process that looks late may find them removed already
        if devices.is_writer():
            for at in sound:
                shutil.rmtree(directory / str(at))
        devices.barrier("guide")
        return begin
    restored = checkpoints.restore(directory, devices.abstract(placement, begin))
    return restored.state if restored else begin


def accuracy_by_level(
    config: ConfigDict, net: Any, params: Params, table: schedules.Level, held_out: source.Source
) -> dict[str, float]:
    """Accuracy on validation images at some t; for a classifier of clean images, only at t = 0."""
    num = min(len(held_out.labels), MOST_TESTED)
    held_out = division.stratified(held_out, num, config.seed)
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
