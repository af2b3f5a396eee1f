"""--mode=interpolate: from one real image to another, through their noised versions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import editing
from ddpm_jax.models import trained
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


@stages.stage("interpolate", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    num_pairs = len(real.labels) // 2
    if num_pairs == 0:
        raise ValueError(f"editing.num_images is {config.editing.num_images}; a pair needs 2")
    # The classes take turns, so neighbors are of different classes.
    original = source.decode(real)[: 2 * num_pairs]
    first, second = original[0::2], original[1::2]
    labels = np.stack([real.labels[0 : 2 * num_pairs : 2], real.labels[1 : 2 * num_pairs : 2]])
    weights = np.linspace(0.0, 1.0, config.editing.num_mixes)
    t, mixes = mix(config, model, first, second, labels, weights)
    if devices.is_writer():
        rows = np.concatenate([first[:, None], mixes, second[:, None]], axis=1)
        picture = pictures.strip(
            rows,
            ["real", *(f"{weight:.2f}" for weight in weights), "real"],
            row_labels=[
                f"{real.class_names[one]} to {real.class_names[other]}" for one, other in labels.T
            ],
            title=f"Mixed at t = {t:.0f}, then denoised",
        )
        pictures.save(files.figure("interpolate.png"), picture)
    return {
        "checkpoint": model.facts["step"],
        "from": real.name,
        "pairs": num_pairs,
        "t": t,
        "seed": config.seed,
    }


def mix(
    config: ConfigDict,
    model: trained.Model,
    first: Pixels,
    second: Pixels,
    labels: np.ndarray,
    weights: np.ndarray,
) -> tuple[float, np.ndarray]:
    """The t at which the pairs are mixed, and their mixes, uint8 [pairs, weights, H, W, C]."""
    levels = denoising.build_steps_from(config.sampling, model.table, config.editing.mix_at)
    solver = denoising.build_solver(config.sampling, model.table)
    num_pairs, num_weights = len(first), len(weights)
    label = label_of_mix(config, model, labels, weights)
    # One key per row, so that only the weight changes along a row.
    keys = jax.random.split(choice.key_for(config.seed, "interpolate"), num_pairs)
    keys = jnp.repeat(keys, num_weights, axis=0)

    @jax.jit
    def walk(params, first, second, weight, label):
        denoise = denoising.build_denoiser(config, model.net, params, label)
        one, other = (pixels.to_float(jnp.repeat(x, num_weights, axis=0)) for x in (first, second))
        made = editing.interpolate(solver, denoise, levels, one, other, weight, keys)
        return pixels.to_uint8(made)

    weight = jnp.tile(jnp.asarray(weights, jnp.float32), num_pairs)
    made = walk(model.weights, jnp.asarray(first), jnp.asarray(second), weight, label)
    return float(levels.t[0]), np.asarray(made).reshape(num_pairs, num_weights, *first.shape[1:])


def label_of_mix(
    config: ConfigDict, model: trained.Model, labels: np.ndarray, weights: np.ndarray
) -> jax.Array:
    """No label, because a mix has none; the nearer image's if the network was not trained without one."""
    if model.net.num_classes and config.loss.label_dropout:
        return jnp.full(labels.shape[1] * len(weights), model.net.num_classes, jnp.int32)
    nearer = np.where(weights[None] < 0.5, labels[0][:, None], labels[1][:, None])
    return jnp.asarray(nearer.reshape(-1), jnp.int32)
