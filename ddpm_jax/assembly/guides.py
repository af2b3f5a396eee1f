"""From a config to the classifier that guides samples: its network, its loss, its log-probability."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.augmentation import build_augmentation
from ddpm_jax.assembly.choice import choose
from ddpm_jax.assembly.datasets import image_shape
from ddpm_jax.diffusion import guidance, predictions, process, schedules
from ddpm_jax.nets import classifier
from ddpm_jax.training import compilation, devices, optim, state, step
from ddpm_jax.types import Batch, Images, Labels, LossFn, Params, Scalars


def build_net(config: ConfigDict, num_classes: int) -> nn.Module:
    known = {
        "conv4": lambda: classifier.four_conv(num_classes, noise_level=config.noised),
        "resnet": lambda: classifier.resnet(num_classes, noise_level=config.noised),
    }
    return choose("guide.net", config.net, known)()


def init_net(
    net: nn.Module, config: ConfigDict, key: Key[Array, ""], image_shape: tuple[int, int, int]
) -> Params:
    t = jnp.zeros(1) if config.noised else None
    return compilation.compile_briefly(net.init)(key, jnp.zeros((1, *image_shape)), t)


def build_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """Cross-entropy on images noised to a random level (from clean to noise), or on clean images."""
    change = build_augmentation(config.augment)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        augment_key, t_key, eps_key = jax.random.split(key, 3)
        x, label = pixels.to_float(batch["image"]), batch["label"]
        x = change(jax.random.split(augment_key, len(label)), x)
        t = None
        if config.guide.noised:
            level = table[jax.random.randint(t_key, label.shape, 0, table.num_steps + 1)]
            x, t = process.noise(x, level, jax.random.normal(eps_key, x.shape)), level.t
        logits: Any = net.apply(params, x, t, train=True)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
        return loss, {"accuracy": jnp.mean(jnp.argmax(logits, -1) == label)}

    return loss_fn


def build_log_prob(
    config: ConfigDict, params: Params, label: Labels, denoise: predictions.Denoiser
) -> guidance.LogProb:
    """log p(label | xt); a classifier of clean images gets the denoiser's estimate of x0."""
    net = build_net(config, params["params"]["head"]["bias"].size)

    def of_label(logits: Any) -> Float[Array, " B"]:
        return jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]

    if not config.noised:
        return guidance.through_denoiser(denoise, lambda x0: of_label(net.apply(params, x0)))

    def log_prob(xt: Images, level: schedules.Level) -> Float[Array, " B"]:
        return of_label(net.apply(params, xt, predictions.per_image_t(xt, level)))

    return log_prob


def build_step(
    config: ConfigDict,
    net: Any,
    table: schedules.Level,
    placement: devices.Placement,
    key: Key[Array, ""],
    size: int,
) -> tuple[step.TrainStep, state.TrainState]:
    """The training step, and the state before the first one."""
    section = config.guide
    params = init_net(net, section, key, image_shape(config))
    rate = optim.warmup_cosine(section.learning_rate, num_steps=section.num_steps)
    optimizer = optim.adamw(rate, weight_decay=0.01)
    loss_fn = build_loss(config, net, table)
    shapes = {
        "image": jax.ShapeDtypeStruct((size, *image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }
    begin = state.create(params, optimizer, loss_fn, shapes)
    train_step = step.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.99))
    return train_step, devices.replicate(placement, begin)
