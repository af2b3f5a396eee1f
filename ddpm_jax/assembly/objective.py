"""From a config to the loss of the denoising network."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.augmentation import build_told
from ddpm_jax.assembly.choice import Option, build
from ddpm_jax.assembly.consistency import build_consistency
from ddpm_jax.assembly.networks import build_predict, build_reader, learns_variance
from ddpm_jax.diffusion import edm, losses, predictions, process, schedules, timesteps, weights
from ddpm_jax.training import state
from ddpm_jax.types import Batch, Images, LossFn, Params, Scalars


class SampledLevels(NamedTuple):
    """A level for each image, and the next cleaner one, which the variational loss needs.

    importance: weight of each image in the mean, which corrects for levels sampled more often.
    """

    now: schedules.Level
    nxt: schedules.Level
    importance: Float[Array, " B"] | float = 1.0


# What the loss keeps of earlier steps, if anything: `scales` for "scheduled", `moments` for
# "second_moment".
Kept = Mapping[str, Any]
SampleLevels = Callable[[Key[Array, ""], int, Kept], SampledLevels]
# The losses of the images, and what to remember of them. The array argument is the share of the
# training that is done.
Compare = Callable[
    [predictions.Predict, Images, SampledLevels, Images, Array, Kept],
    tuple[Float[Array, " B"], dict[str, Any]],
]


def build_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """The training loss: noise an image to a random level, ask the network, compare.

    Without a `step`, it is the loss at the end of the training.
    """
    change, tells = build_told(config.augment), config.net.augment_condition
    sample_levels = build_level_sampler(config.loss, table)
    compare = build_comparison(config, table)

    def loss_fn(
        params: Params,
        batch: Batch,
        key: Key[Array, ""],
        past: Kept = MappingProxyType({}),
        step: Int[Array, ""] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        augment_key, t_key, eps_key, label_key, dropout_key = jax.random.split(key, 5)
        num = len(batch["label"])
        images = pixels.to_float(batch["image"])
        x0, changes = change(jax.random.split(augment_key, num), images)
        told = {"changes": changes} if tells else {}
        label = batch["label"]
        if net.num_classes:
            unlabelled = jax.random.bernoulli(label_key, config.loss.label_dropout, label.shape)
            label = jnp.where(unlabelled, net.num_classes, label)
        eps_keys = jax.random.split(eps_key, num)
        eps = process.offset_gaussian(eps_keys, x0.shape[1:], config.loss.offset_noise)
        rngs = {"dropout": dropout_key}
        predict = build_predict(net, params, label, train=True, rngs=rngs, **told)
        levels = sample_levels(t_key, num, past)
        done = jnp.float32(1.0) if step is None else step / jnp.float32(config.training.num_steps)
        each, seen = compare(predict, x0, levels, eps, done, past)
        if "moments" in past:
            seen |= {
                "moments": timesteps.observe(levels.now.t.astype(jnp.int32), each, table.num_steps)
            }
        return (levels.importance * each).mean(), {state.SEEN: seen} if past else {}

    return loss_fn


def build_past(config: ConfigDict, num_steps: int) -> state.Past | None:
    """What the loss of `build_loss` keeps from step to step, if anything."""
    start: dict[str, Any] = {}
    if config.loss.kind == "scheduled":
        start["scales"] = losses.LossScales(jnp.ones(()), jnp.ones(()))
    if config.loss.draw == "second_moment":
        start["moments"] = timesteps.no_moments(num_steps)
    size = config.training.batch_size
    update: dict[str, Any] = {
        "scales": losses.LossScales.update,
        "moments": partial(timesteps.remember, num=size),
    }

    def remember(past: Kept, seen: Kept | None) -> dict[str, Any]:
        return {name: update[name](past[name], (seen or {})[name]) for name in past}

    # It keeps nothing, and needs to know how far the training is.
    needs_step = config.loss.kind == "consistency"
    return state.Past(start, remember) if start or needs_step else None


def build_validation_loss(config: ConfigDict, net: nn.Module, table: schedules.Level) -> LossFn:
    """The loss without augmentation, dropout or offset noise; keeps all labels, all levels equally likely."""
    sample_levels = build_level_sampler(config.loss, table, validation=True)
    compare = build_comparison(config, table)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        t_key, eps_key = jax.random.split(key)
        x0 = pixels.to_float(batch["image"])
        eps = jax.random.normal(eps_key, x0.shape)
        predict = build_predict(net, params, batch["label"])
        levels = sample_levels(t_key, len(x0), {})
        return compare(predict, x0, levels, eps, jnp.float32(1.0), {})[0].mean(), {}

    return loss_fn


DRAWS = {
    "uniform": Option(lambda: timesteps.uniform),
    "stratified": Option(lambda: timesteps.stratified),
    "beta": Option(lambda ends: partial(timesteps.beta, a=ends[0], b=ends[1]), ("beta",)),
    # These two need more than a key to draw t: see `build_level_sampler`.
    "second_moment": Option(lambda: None),
    "log_normal": Option(lambda: None),
}


def build_level_sampler(
    config: ConfigDict, table: schedules.Level, validation: bool = False
) -> SampleLevels:
    """The function that samples the levels of a batch."""
    if (config.draw == "log_normal") != (config.prediction == "edm"):
        raise ValueError(
            f"loss.draw is {config.draw!r} and loss.prediction {config.prediction!r}; "
            "'log_normal' and 'edm' go together"
        )
    if config.draw == "log_normal":

        def sample_sigma(key: Key[Array, ""], num: int, past: Kept) -> SampledLevels:
            sigma = edm.sample_levels(key, num)
            return SampledLevels(sigma, sigma)

        return sample_sigma
    sample_t = build("loss.draw", config.draw, DRAWS, config)
    if validation:
        sample_t = timesteps.uniform

    def sample_levels(key: Key[Array, ""], num: int, past: Kept) -> SampledLevels:
        if sample_t is not None:
            return SampledLevels(*schedules.step_to(table, sample_t(key, num, table.num_steps)))
        moments = past.get("moments", timesteps.no_moments(table.num_steps))
        t, importance = timesteps.second_moment(key, num, moments)
        return SampledLevels(*schedules.step_to(table, t), importance)

    return sample_levels


def build_comparison(config: ConfigDict, table: schedules.Level) -> Compare:
    """The loss of each image, weighted by its level, and what to remember of it."""
    kind = config.loss.prediction
    weigh = build_weight(config.loss)
    if kind == "edm" or learns_variance(config):
        if config.loss.weight != "none" or (kind == "edm" and config.loss.kind != "mse"):
            raise ValueError(
                f"loss.weight {config.loss.weight!r} and loss.kind {config.loss.kind!r} do not go "
                f"with loss.prediction {kind!r}, whose loss has its own"
            )
        return partial(_own_loss, config, table.num_steps)

    if config.loss.kind == "consistency":
        return build("loss.kind", config.loss.kind, KINDS, config.loss, config.loss, table)
    distance = build_distance(config.loss)

    def compare(predict, x0, levels, eps, done, past):
        if distance is not None:
            each, seen = losses.denoising(predict, x0, levels.now, eps, kind, distance), {}
        else:
            both = losses.output_and_target(predict, x0, levels.now, eps, kind)
            scales = losses.scales_of(*both)
            each = losses.scheduled(*both, done, past.get("scales", scales))
            seen = {"scales": scales}
        return weigh(levels.now, kind) * each, seen

    return compare


def _own_loss(config, num_steps, predict, x0, levels, eps, done, past):
    """Losses that call a denoiser instead of comparing the network's output."""
    denoise = build_reader(config, predict)
    if config.loss.prediction == "edm":
        return edm.loss(denoise, x0, levels.now, eps), {}
    between = (levels.now, levels.nxt, num_steps)
    if config.loss.kind == "variational":
        return losses.variational_bound(denoise, x0, eps, *between), {}
    return losses.hybrid(denoise, x0, eps, *between, config.loss.prediction), {}


def _combined(shares: tuple[float, float, float]) -> losses.Distance:
    mse_weight, l1_weight, cosine_weight = shares
    return partial(
        losses.combined, mse_weight=mse_weight, l1_weight=l1_weight, cosine_weight=cosine_weight
    )


KINDS = {
    "mse": Option(lambda: losses.mse),
    "squared_norm": Option(lambda: losses.squared_norm),
    "l1": Option(lambda: losses.l1),
    "huber": Option(lambda delta: partial(losses.huber, delta=delta), ("huber_delta",)),
    "combined": Option(_combined, ("combined_weights",)),
    # The other four are more than a distance: see `build_comparison`.
    "scheduled": Option(lambda: None),
    "hybrid": Option(lambda: None),
    "variational": Option(lambda: None),
    "consistency": Option(build_consistency, ("consistency_stages", "consistency_offset")),
}


def build_distance(config: ConfigDict) -> losses.Distance | None:
    return build("loss.kind", config.kind, KINDS, config)


WEIGHTS = {
    "none": Option(lambda: weights.none),
    "snr": Option(lambda: weights.snr),
    "truncated_snr": Option(lambda: weights.truncated_snr),
    "min_snr": Option(lambda gamma: partial(weights.min_snr, gamma=gamma), ("min_snr_gamma",)),
    "p2": Option(lambda gamma: partial(weights.p2, gamma=gamma), ("p2_gamma",)),
}


def build_weight(config: ConfigDict) -> Callable[[schedules.Level, str], Float[Array, " B"]]:
    return build("loss.weight", config.weight, WEIGHTS, config)
