"""From the optim section to an optax optimizer."""

import optax
from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import choose
from ddpm_jax.training import optim


def build_optimizer(config: ConfigDict, num_steps: int) -> optax.GradientTransformation:
    rates = {
        "constant": lambda: optim.constant(config.learning_rate, warmup_steps=config.warmup_steps),
        "cosine": lambda: optim.warmup_cosine(
            config.learning_rate, num_steps=num_steps, warmup_steps=config.warmup_steps
        ),
        "one_cycle": lambda: optim.one_cycle(
            config.learning_rate,
            num_steps=num_steps,
            warmup_fraction=config.warmup_steps / num_steps,
        ),
    }
    rate = choose("optim.schedule", config.schedule, rates)()
    shared = {"b1": config.beta1, "b2": config.beta2, "clip_norm": config.clip_norm or None}
    known = {
        "adam": lambda: optim.adam(rate, **shared),
        "adamw": lambda: optim.adamw(rate, weight_decay=config.weight_decay, **shared),
    }
    return choose("optim.name", config.name, known)()
