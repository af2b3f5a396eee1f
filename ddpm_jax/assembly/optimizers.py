"""From the optim section to an optax optimizer."""

from collections.abc import Callable

import optax
from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import Option, build
from ddpm_jax.training import optim, step

RATES = {
    "constant": Option(lambda peak, warmup, num: optim.constant(peak, warmup_steps=warmup)),
    "cosine": Option(
        lambda peak, warmup, num: optim.warmup_cosine(peak, num_steps=num, warmup_steps=warmup)
    ),
    "one_cycle": Option(
        lambda peak, warmup, num: optim.one_cycle(peak, num_steps=num, warmup_fraction=warmup / num)
    ),
}


def _decaying(make: Callable[..., optax.GradientTransformation]) -> Option:
    return Option(
        lambda rate, shared, decay: make(rate, weight_decay=decay, **shared), ("weight_decay",)
    )


OPTIMIZERS = {
    "adam": Option(lambda rate, shared: optim.adam(rate, **shared)),
    "adamw": _decaying(optim.adamw),
    "muon": _decaying(optim.muon),
}


def build_rate(config: ConfigDict, num_steps: int) -> optax.Schedule:
    """The learning rate of the step after `count` steps."""
    peak, warmup = config.learning_rate, config.warmup_steps
    return build("optim.schedule", config.schedule, RATES, config, peak, warmup, num_steps)


def build_averages(config: ConfigDict) -> dict[str, step.Gain]:
    """The averages of the weights besides the exponential one, by name: their width."""
    averages = {f"{width:g}": optim.power_average(width) for width in config.averages}
    if len(averages) < len(config.averages):
        raise ValueError(f"optim.averages is {config.averages}, wanted different widths")
    return averages


def build_optimizer(config: ConfigDict, num_steps: int) -> optax.GradientTransformation:
    rate = build_rate(config, num_steps)
    shared = {"b1": config.beta1, "b2": config.beta2, "clip_norm": config.clip_norm or None}
    return build("optim.name", config.name, OPTIMIZERS, config, rate, shared)
