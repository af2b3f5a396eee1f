"""The averages of a training's weights: their validation losses, and where these are written."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax.assembly.training import Parts
from ddpm_jax.models import checkpoint_choice, in_training
from ddpm_jax.training import state as states


def losses(config: ConfigDict, parts: Parts, state: states.TrainState) -> dict[str, float]:
    """Validation loss of each average, the exponential one (`ema`) first."""
    averages = {"ema": state.ema_params} | state.averages
    return {
        name: in_training.validation_loss(config, parts, params)
        for name, params in averages.items()
    }


def logged(losses: Mapping[str, float]) -> dict[str, float]:
    """By the names that they have in `metrics.jsonl`."""
    others = {f"validation_loss_{name}": loss for name, loss in losses.items() if name != "ema"}
    return {"validation_loss": losses["ema"]} | others


def facts(losses: Mapping[str, float]) -> dict[str, Any]:
    """What a checkpoint says about several averages."""
    return {checkpoint_choice.LOSSES: dict(losses)} if len(losses) > 1 else {}
