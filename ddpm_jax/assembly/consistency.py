"""From a config to the loss that tunes a trained network to give the image in one call."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from ddpm_jax.diffusion import consistency, predictions, schedules


def build_consistency(
    config: ConfigDict, table: schedules.Level, stages: int, offset: float
) -> Callable[..., tuple[Float[Array, " B"], dict[str, Any]]]:
    """The loss of each image, as `objective.build_comparison` gives it, from the loss section."""
    if config.weight != "none" or config.prediction == "eps":
        raise ValueError(
            f"loss.kind is 'consistency', loss.weight {config.weight!r} and loss.prediction "
            f"{config.prediction!r}; wanted 'none', as this loss has its own weight, and 'v' or 'x0': "
            "an image estimated from eps is divided by an alpha near 0"
        )

    def compare(predict, x0, levels, eps, done, past):
        denoise = predictions.denoiser(predict, config.prediction)
        nxt = consistency.cleaner(table, levels.now.t.astype(jnp.int32), done, stages)
        return consistency.loss(denoise, x0, eps, levels.now, nxt, offset), {}

    return compare
