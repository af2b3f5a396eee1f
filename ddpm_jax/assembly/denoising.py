"""From a config to the network, its loss, and how it is sampled."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.choice import choose
from ddpm_jax.assembly.datasets import image_shape
from ddpm_jax.data import augment
from ddpm_jax.diffusion import guidance, losses, predictions, process, schedules, solvers
from ddpm_jax.nets import unet
from ddpm_jax.types import Batch, Images, Keys, Labels, LossFn, Params, Scalars

Sampler = Callable[[Params, Labels, Keys], Images]
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_levels(config: ConfigDict) -> schedules.Level:
    """The table of T+1 levels."""
    known = {
        "linear": lambda: schedules.linear(config.num_steps, config.beta_start, config.beta_end),
        "cosine": lambda: schedules.cosine(config.num_steps),
    }
    return choose("schedule.name", config.name, known)()


def build_net(config: ConfigDict, channels: int, num_classes: int) -> nn.Module:
    known = {"unet": unet.UNet}
    return choose("net.name", config.name, known)(
        out_channels=channels,
        base_channels=config.base_channels,
        multipliers=config.multipliers,
        num_res_blocks=config.num_res_blocks,
        attention_resolutions=config.attention_resolutions,
        num_heads=config.num_heads,
        dropout=config.dropout,
        num_groups=config.num_groups,
        patch_size=config.patch_size,
        num_classes=num_classes if config.class_conditional else 0,
        dtype=choose("net.dtype", config.dtype, DTYPES),
    )


def init_net(net: nn.Module, config: ConfigDict, key: Key[Array, ""]) -> Params:
    """Parameters for images of the data section's size; raises where the levels do not divide it."""
    size, channels = config.image_size, config.channels
    label = jnp.zeros(1, jnp.int32) if net.num_classes else None
    return jax.jit(net.init)(key, jnp.zeros((1, size, size, channels)), jnp.zeros(1), label)


def build_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """The training loss: noise an image to a random level, ask the network, compare."""

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        augment_key, t_key, eps_key, label_key, dropout_key = jax.random.split(key, 5)
        x0 = pixels.to_float(batch["image"])
        if config.augment.flip:
            x0 = augment.horizontal_flip(jax.random.split(augment_key, len(x0)), x0)
        label = batch["label"]
        if net.num_classes:
            unlabelled = jax.random.bernoulli(label_key, config.loss.label_dropout, label.shape)
            label = jnp.where(unlabelled, net.num_classes, label)
        t = jax.random.randint(t_key, label.shape, 1, table.num_steps + 1)
        eps = jax.random.normal(eps_key, x0.shape)
        predict = _predict(net, params, label, train=True, rngs={"dropout": dropout_key})
        loss = losses.denoising(predict, x0, table[t], eps, config.loss.prediction).mean()
        return loss, {}

    return loss_fn


def build_validation_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """No augmentation, no dropout, every label kept."""

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        t_key, eps_key = jax.random.split(key)
        x0 = pixels.to_float(batch["image"])
        t = jax.random.randint(t_key, (len(x0),), 1, table.num_steps + 1)
        eps = jax.random.normal(eps_key, x0.shape)
        predict = _predict(net, params, batch["label"])
        return losses.denoising(predict, x0, table[t], eps, config.loss.prediction).mean(), {}

    return loss_fn


def build_denoiser(
    config: ConfigDict, net: nn.Module, params: Params, label: Labels
) -> predictions.Denoiser:
    """The network with its labels bound, guided and clipped as the sampling section says."""
    kind, scale = config.loss.prediction, config.sampling.guidance_scale
    if scale == 1.0 or not net.num_classes:
        denoise = predictions.denoiser(_predict(net, params, label), kind)
    else:
        both = jnp.concatenate([label, jnp.full_like(label, net.num_classes)])
        pair = guidance.doubled(predictions.denoiser(_predict(net, params, both), kind))
        denoise = guidance.classifier_free_pair(pair, scale)
    return predictions.clipped(denoise) if config.sampling.clip else denoise


def build_solver(config: ConfigDict) -> solvers.Solver:
    known = {
        "ancestral": lambda: solvers.ancestral(config.variance),
        "ddim": lambda: solvers.ddim(config.eta),
    }
    return choose("sampling.solver", config.solver, known)()


def build_steps(config: ConfigDict, table: schedules.Level) -> schedules.Level:
    """The levels a sampler walks, noisiest first."""
    return schedules.descending(table, config.num_steps, config.spacing)


def build_sampler(config: ConfigDict, net: nn.Module, table: schedules.Level) -> Sampler:
    """`(params, label, keys) -> images in [-1, 1]`; image i depends on label[i] and keys[i] alone."""
    levels, solver = build_steps(config.sampling, table), build_solver(config.sampling)

    def sample(params: Params, label: Labels, keys: Keys) -> Images:
        denoise = build_denoiser(config, net, params, label)
        start_keys, chain_keys = process.fold_in(keys, 0), process.fold_in(keys, 1)
        x = solvers.starting_noise(levels, start_keys, image_shape(config))
        return solvers.sample(solver, denoise, levels, x, chain_keys)

    return sample


def _predict(net: nn.Module, params: Params, label: Labels, **options: Any) -> predictions.Predict:
    def predict(xt: Images, t: Array) -> Images:
        return net.apply(params, xt, t, label if net.num_classes else None, **options)

    return predict
