"""--mode=reconstruct: real images to noise along the deterministic flow, and back."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import editing, schedules, solvers
from ddpm_jax.evaluation import similarity
from ddpm_jax.models import trained
from ddpm_jax.training import devices
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


@stages.stage("reconstruct", "train")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    model = trained.load_model(config, files.checkpoints())
    real = datasets.examples(config)
    original = source.decode(real)
    noise, again = there_and_back(config, model, original, real.labels)
    if devices.is_writer():
        picture = pictures.side_by_side(
            {"real": original, "as noise": noise, "reconstructed": again},
            row_labels=[real.class_names[label] for label in real.labels],
            title="Encoded and decoded",
        )
        pictures.save(files.figure("reconstruct.png"), picture)
    return {
        "checkpoint": model.facts["step"],
        "from": real.name,
        "n": len(original),
        "mean_absolute_error": np.abs(again.astype(int) - original).mean(),
        "ssim": similarity.ssim(again, original).mean(),
        "seed": config.seed,
    }


def there_and_back(
    config: ConfigDict, model: trained.Model, original: Pixels, label: np.ndarray
) -> tuple[Pixels, Pixels]:
    """The images encoded as noise, and the images decoded from that noise.

    Uses Heun's method, evenly spaced in log-SNR, without clipping, which cannot be inverted.
    """
    config = config.copy_and_resolve_references()
    config.sampling.clip = False
    levels = schedules.descending(model.table, config.sampling.num_steps, "log_snr")
    keys = jax.random.split(choice.key_for(config.seed, "reconstruct"), len(label))

    @jax.jit
    def walk(params, image, label):
        denoise = denoising.build_denoiser(config, model.net, params, label)
        noise = editing.encode(solvers.heun(), denoise, levels, pixels.to_float(image), keys)
        again = solvers.sample(solvers.heun(), denoise, levels, noise, keys)
        size = jnp.hypot(levels.alpha[0], levels.sigma[0])
        return pixels.to_uint8(noise / size), pixels.to_uint8(again)

    noise, again = walk(model.weights, jnp.asarray(original), jnp.asarray(label))
    return np.asarray(noise), np.asarray(again)
