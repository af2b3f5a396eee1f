"""From a config to the loss of the denoising network."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.augmentation import build_augmentation
from ddpm_jax.assembly.choice import choose
from ddpm_jax.assembly.networks import build_predict, build_reader, learns_variance
from ddpm_jax.diffusion import edm, losses, predictions, process, schedules, timesteps, weights
from ddpm_jax.types import Batch, Images, LossFn, Params, Scalars


class Step(NamedTuple):
    """A level for each image, and the next cleaner one, which the variational loss needs."""

    now: schedules.Level
    nxt: schedules.Level


Draw = Callable[[Key[Array, ""], int], Step]
Compare = Callable[[predictions.Predict, Images, Step, Images, Array], Float[Array, "B"]]


def build_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """The training loss: noise an image to a random level, ask the network, compare."""
    change = build_augmentation(config.augment)
    draw = build_draw(config.loss, table)
    compare = build_comparison(config, table)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        augment_key, t_key, eps_key, label_key, dropout_key = jax.random.split(key, 5)
        num = len(batch["label"])
        x0 = change(jax.random.split(augment_key, num), pixels.to_float(batch["image"]))
        label = batch["label"]
        if net.num_classes:
            unlabelled = jax.random.bernoulli(label_key, config.loss.label_dropout, label.shape)
            label = jnp.where(unlabelled, net.num_classes, label)
        eps_keys = jax.random.split(eps_key, num)
        eps = process.offset_gaussian(eps_keys, x0.shape[1:], config.loss.offset_noise)
        predict = build_predict(net, params, label, train=True, rngs={"dropout": dropout_key})
        return compare(predict, x0, draw(t_key, num), eps, progress(batch)).mean(), {}

    return loss_fn


def build_validation_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """No augmentation, no dropout, no offset noise, every label kept, every level as likely."""
    draw = build_draw(config.loss, table, validation=True)
    compare = build_comparison(config, table)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        t_key, eps_key = jax.random.split(key)
        x0 = pixels.to_float(batch["image"])
        eps = jax.random.normal(eps_key, x0.shape)
        predict = build_predict(net, params, batch["label"])
        return compare(predict, x0, draw(t_key, len(x0)), eps, progress(batch)).mean(), {}

    return loss_fn


def progress(batch: Batch) -> Float[Array, ""]:
    """Share of the training that is done, where the batch says so; else all of it."""
    return batch["progress"].mean() if "progress" in batch else jnp.float32(1.0)


def build_draw(config: ConfigDict, table: schedules.Level, validation: bool = False) -> Draw:
    """How the levels of a batch are drawn."""
    if (config.draw == "log_normal") != (config.prediction == "edm"):
        raise ValueError(
            f"loss.draw is {config.draw!r} and loss.prediction {config.prediction!r}; "
            "'log_normal' and 'edm' go together"
        )
    if config.draw == "log_normal":

        def draw_sigma(key: Key[Array, ""], num: int) -> Step:
            levels = edm.draw_levels(key, num)
            return Step(levels, levels)

        return draw_sigma
    a, b = config.beta
    known = {
        "uniform": timesteps.uniform,
        "stratified": timesteps.stratified,
        "beta": partial(timesteps.beta, a=a, b=b),
    }
    draw_t = choose("loss.draw", config.draw, known)
    if validation:
        draw_t = timesteps.uniform
    return lambda key, num: Step(*schedules.step_to(table, draw_t(key, num, table.num_steps)))


def build_comparison(config: ConfigDict, table: schedules.Level) -> Compare:
    """The loss of each image, weighted by its level."""
    kind = config.loss.prediction
    weigh = build_weight(config.loss)
    if kind == "edm" or learns_variance(config):
        if config.loss.weight != "none" or (kind == "edm" and config.loss.kind != "mse"):
            raise ValueError(
                f"loss.weight {config.loss.weight!r} and loss.kind {config.loss.kind!r} do not go "
                f"with loss.prediction {kind!r}, whose loss has its own"
            )
        return partial(_own_loss, config, table.num_steps)

    def compare(predict, x0, step, eps, done):
        distance = build_distance(config.loss, done)
        each = losses.denoising(predict, x0, step.now, eps, kind, distance)
        return weigh(step.now, kind) * each

    return compare


def _own_loss(config, num_steps, predict, x0, step, eps, done):
    """Losses that ask a denoiser instead of comparing the network's output."""
    denoise = build_reader(config, predict)
    if config.loss.prediction == "edm":
        return edm.loss(denoise, x0, step.now, eps)
    if config.loss.kind == "variational":
        return losses.variational_bound(denoise, x0, eps, step.now, step.nxt, num_steps)
    return losses.hybrid(denoise, x0, eps, step.now, step.nxt, num_steps, config.loss.prediction)


def build_distance(config: ConfigDict, done: Float[Array, ""]) -> losses.Distance:
    def scheduled(estimate: Images, truth: Images) -> Float[Array, "B"]:
        # The scales are this batch's own: a running mean would need a state besides the optimizer's.
        scales = losses.LossScales(
            losses.mse(estimate, truth).mean(), losses.l1(estimate, truth).mean()
        )
        return losses.scheduled(estimate, truth, done, scales)

    mse_weight, l1_weight, cosine_weight = config.combined_weights
    known = {
        "mse": losses.mse,
        "squared_norm": losses.squared_norm,
        "l1": losses.l1,
        "huber": partial(losses.huber, delta=config.huber_delta),
        "combined": partial(
            losses.combined,
            mse_weight=mse_weight,
            l1_weight=l1_weight,
            cosine_weight=cosine_weight,
        ),
        "scheduled": scheduled,
    }
    # These two are chosen elsewhere; naming them here makes the error list them.
    return choose("loss.kind", config.kind, known | {"hybrid": None, "variational": None})


def build_weight(config: ConfigDict) -> Callable[[schedules.Level, str], Float[Array, "B"]]:
    known = {
        "none": weights.none,
        "snr": weights.snr,
        "truncated_snr": weights.truncated_snr,
        "min_snr": partial(weights.min_snr, gamma=config.min_snr_gamma),
        "p2": partial(weights.p2, gamma=config.p2_gamma),
    }
    return choose("loss.weight", config.weight, known)
