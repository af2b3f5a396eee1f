"""A trained model's error at each noise level."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly import choice, networks
from ddpm_jax.data import source
from ddpm_jax.diffusion import losses, process
from ddpm_jax.models import trained

NUM_LEVELS = 20


def measure(
    config: ConfigDict, model: trained.Model, images: source.Source
) -> tuple[Int[np.ndarray, " rows"], Float[np.ndarray, "rows 2"], Float[np.ndarray, "rows 2"]]:
    """Rows of the table, mean squared errors of the estimated noise and image, 95 % half-widths."""
    x0, label = pixels.to_float(jnp.asarray(source.decode(images))), jnp.asarray(images.labels)
    eps = jax.random.normal(choice.key_for(config.seed, "loss by level"), x0.shape)

    @jax.jit
    def errors(params, level):
        denoise = networks.build_reader(config, networks.build_predict(model.net, params, label))
        estimate = denoise(process.noise(x0, level, eps), level)
        return losses.mse(estimate.eps, eps), losses.mse(estimate.x0, x0)

    # The middles of equal parts, because at T itself the error of the noise is almost zero.
    shares = (np.arange(NUM_LEVELS) + 0.5) / NUM_LEVELS
    rows = np.unique(np.ceil(shares * model.table.num_steps).astype(int))
    each = np.array(
        [errors(model.weights.net, model.table[int(row)]) for row in rows]
    )  # [rows, 2, images]
    half_width = 1.96 * each.std(axis=2, ddof=1) / np.sqrt(each.shape[2])
    return rows, each.mean(axis=2), half_width
