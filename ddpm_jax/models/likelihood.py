"""Bits/dim of real images under a trained model."""

from typing import Any

import numpy as np
from jaxtyping import Int32
from ml_collections import ConfigDict

from ddpm_jax.assembly import networks
from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import division, source
from ddpm_jax.diffusion import predictions
from ddpm_jax.measuring import likelihoods
from ddpm_jax.models import trained
from ddpm_jax.types import Labels, Params, Pixels


def fields(config: ConfigDict, model: trained.Model, test: source.Source) -> dict[str, Any] | None:
    """Bits/dim of some test images under the trained model, with the standard error over images."""
    num = min(config.evaluation.likelihood_images, len(test.labels))
    if num < 2:
        return None
    some = division.stratified(test, num, config.seed)
    print(f"[evaluate] bits/dim of {num} test images", flush=True)
    given = trained.own_labels(model, some) if model.net.num_classes else some.labels
    found = bits_per_dim(config, model, source.decode(some), given)
    labels = ", given their labels" if model.net.num_classes else ""
    return {
        "n": num,
        "of": f"drawn at random from the test split of {test.name}, each class with its share{labels}",
        "checkpoint": model.facts["step"],
        "num_steps": config.evaluation.likelihood_steps or model.table.num_steps,
        **likelihoods.in_numbers(found),
    }


def bits_per_dim(
    config: ConfigDict, model: trained.Model, images: Pixels, labels: Int32[np.ndarray, " N"]
) -> likelihoods.BitsPerDim:
    def denoiser(params: Params, labels: Labels) -> predictions.Denoiser:
        return networks.build_reader(config, networks.build_predict(model.net, params, labels))

    return likelihoods.bits_per_dim(
        denoiser,
        model.weights.net,
        model.table,
        images,
        labels,
        num_steps=config.evaluation.likelihood_steps or model.table.num_steps,
        variance=config.sampling.variance,
        stream=key_for(config.seed, "likelihood"),
    )
