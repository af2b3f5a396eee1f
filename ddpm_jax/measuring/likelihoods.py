"""Bits per dimension of real images under a trained model, given their labels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int32, Key

from ddpm_jax import pixels
from ddpm_jax.diffusion import likelihood, predictions, process, schedules
from ddpm_jax.training import compilation, devices
from ddpm_jax.types import Batch, Labels, Params, Pixels


class BitsPerDim(NamedTuple):
    """One value per image: the bound, its parts, and the flow's value."""

    bound: Float[np.ndarray, " N"]
    prior: Float[np.ndarray, " N"]
    diffusion: Float[np.ndarray, " N"]
    decoder: Float[np.ndarray, " N"]
    flow: Float[np.ndarray, " N"]


def bits_per_dim(
    denoiser: Callable[[Params, Labels], predictions.Denoiser],
    params: Params,
    table: schedules.Level,
    images: Pixels,
    labels: Int32[np.ndarray, " N"],
    *,
    num_steps: int,
    variance: str,
    stream: Key[Array, ""],
) -> BitsPerDim:
    """Bits/dim of the unguided conditional model; image i depends on (stream, i), not on the batch.

    The bound is that of ancestral sampling in `num_steps` uniform steps with reverse variances of this
    kind. The flow's value is that of as many Heun steps, even in log-SNR, with one probe, on dequantized
    images.
    """
    chain = schedules.descending(table, num_steps, "uniform")
    flow = schedules.descending(table, num_steps, "log_snr")
    num_dims = int(np.prod(images.shape[1:]))

    def measure(params: Params, rows: Batch) -> dict[str, Array]:
        keys = jax.vmap(lambda i: jax.random.fold_in(stream, i))(rows["index"])
        noise, spread, probes = (process.fold_in(keys, i) for i in range(3))
        x0 = pixels.to_float(rows["image"])
        denoise = denoiser(params, rows["label"])
        # Clipping the estimate of x0 tightens the bound; it would put a kink into the flow.
        bound = likelihood.variational_bound(
            predictions.clipped(denoise), chain, x0, noise, variance
        )
        x0 = likelihood.dequantized(spread, x0)
        nats = likelihood.flow_log_likelihood(denoise, flow, x0, probes)
        return bound._asdict() | {
            "bound": bound.total,
            "flow": likelihood.bits_per_dim(nats, num_dims),
        }

    placement = devices.place()
    compiled = compilation.spread(placement, measure)
    size = placement.rounded_up(min(64, len(images)))
    mine = devices.local_rows(placement, size)
    parts = []
    for start in range(0, len(images), size):
        rows = np.arange(start, start + size)
        batch = {
            "index": rows.astype(np.int32),
            "image": np.take(images, rows, axis=0, mode="clip"),
            "label": np.take(labels, rows, mode="clip"),
        }
        local = {name: values[mine] for name, values in batch.items()}
        parts.append(devices.gather(compiled(params, devices.put_batch(placement, local))))
    return BitsPerDim(
        **{
            name: np.concatenate([part[name] for part in parts])[: len(images)]
            for name in BitsPerDim._fields
        }
    )


def in_numbers(found: BitsPerDim) -> dict[str, dict[str, float]]:
    """Means over images with their standard errors."""
    num = len(found.bound)
    return {
        part: {"mean": float(values.mean()), "standard_error": float(values.std(ddof=1) / num**0.5)}
        for part, values in found._asdict().items()
    }
