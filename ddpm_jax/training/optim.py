"""Optimizers, learning rates and the decay of the average, all in optimizer steps."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from optax import contrib


def constant(peak: float, *, warmup_steps: int = 0) -> optax.Schedule:
    """Linear from 0 to `peak` over `warmup_steps`, then `peak`."""
    if warmup_steps == 0:
        return optax.constant_schedule(peak)
    return optax.join_schedules(
        [optax.linear_schedule(0.0, peak, warmup_steps), optax.constant_schedule(peak)],
        [warmup_steps],
    )


def warmup_cosine(
    peak: float, *, num_steps: int, warmup_steps: int = 0, final: float = 0.0
) -> optax.Schedule:
    """Linear from 0 to `peak`, then half a cosine down to `final` at `num_steps`."""
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(f"warmup_steps {warmup_steps} must be less than num_steps {num_steps}")
    if warmup_steps == 0:
        return optax.cosine_decay_schedule(peak, num_steps, alpha=final / peak)
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, num_steps, end_value=final)


def one_cycle(peak: float, *, num_steps: int, warmup_fraction: float = 0.3) -> optax.Schedule:
    """Cosine from `peak` / 25 up to `peak` and down to `peak` / 250,000 (Smith and Topin 2018)."""
    if not 0.0 < warmup_fraction < 1.0:
        raise ValueError(f"warmup_fraction {warmup_fraction} must lie between 0 and 1")
    return optax.cosine_onecycle_schedule(num_steps, peak, pct_start=warmup_fraction)


def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015), the gradient's global norm clipped to `clip_norm`."""
    return _clipped(optax.adam(learning_rate, b1=b1, b2=b2, eps=eps), clip_norm)


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter 2019). Kernels decay; biases and normalization scales do not."""
    decays = optax.adamw(
        learning_rate,
        b1=b1,
        b2=b2,
        eps=eps,
        weight_decay=weight_decay,
        mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
    )
    return _clipped(decays, clip_norm)


MUON_RMS = 0.2
"""Root mean square of Muon's updates over the learning rate, about that of Adam (Liu et al. 2025, eq. 4)."""


def muon(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) for kernels, NAdam with `b1` and `b2` for biases, scales and embeddings.

    NAdam is Adam with Nesterov's momentum, which Muon has too (Dozat 2016). The update of a kernel is the
    nearest orthogonal matrix to its momentum, whose decay is 0.95. A convolution's kernel is the matrix
    from its whole window to its output channels. Updates are scaled to the size of Adam's, so that Adam's
    learning rates serve. Kernels decay as with `adamw`.
    """
    orthogonal = contrib.muon(
        learning_rate,
        weight_decay=weight_decay,
        eps=eps,
        adam_b1=b1,
        adam_b2=b2,
        muon_weight_dimension_numbers=_as_matrices,
        consistent_rms=MUON_RMS,
    )
    return _clipped(orthogonal, clip_norm)


def _as_matrices(params: optax.Params) -> optax.Params:
    """For each leaf, the axes that are summed over and the axis of the output; None: no matrix."""

    def axes(path: tuple[Any, ...], leaf: jax.Array) -> contrib.MuonDimensionNumbers | None:
        if leaf.ndim < 2 or path[-1] == jax.tree_util.DictKey("embedding"):
            return None
        return contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)


def for_each(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """`optimizer` for several sets of parameters, stacked along the first axis of every leaf.

    Each set is optimized as it would be alone. Without this, AdamW's mask would take a stacked bias
    for a kernel, and the gradients of all sets would be clipped by one norm.
    """

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        return jax.vmap(optimizer.update)(updates, state, params)

    return optax.GradientTransformation(jax.vmap(optimizer.init), update)


def ema_decay(decay: float, *, warmup: bool = True) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """min(decay, (1 + step) / (10 + step)): a young average must not remember the first weights."""
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay {decay} must lie in 0 <= decay < 1")

    def at(step: Int[Array, ""]) -> Float[Array, ""]:
        young = (1.0 + step) / (10.0 + step)
        return jnp.minimum(decay, young) if warmup else jnp.full((), decay)

    return at


WIDEST = 12**-0.5
"""The relative width of the plain mean."""


def power_average(width: float) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """The share of the newest parameters in an average whose weights grow as step^gamma.

    `width` is the standard deviation of the weights, relative to the length of the training, so that
    the average keeps pace with it: in (0, 12^-0.5], where gamma is 0 or more (Karras et al. 2024, "Analyzing
    and improving the training dynamics of diffusion models", section 3.1: sigma_rel).
    """
    if not 0.0 < width <= WIDEST:
        raise ValueError(f"the width {width} of an average must lie in 0 < width <= {WIDEST:.4f}")
    # sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), solved for gamma.
    squared = width**-2
    gamma = np.roots([1.0, 7.0, 16.0 - squared, 12.0 - squared]).real.max()

    def gain(step: Int[Array, ""]) -> Float[Array, ""]:
        # 1 - (1 - 1 / t)^(gamma + 1) at t = step + 1, without the cancellation of late steps.
        return -jnp.expm1((gamma + 1.0) * jnp.log1p(-1.0 / (step + 1.0)))

    return gain


def _clipped(
    optimizer: optax.GradientTransformation, clip_norm: float | None
) -> optax.GradientTransformation:
    if clip_norm is None:
        return optimizer
    if not clip_norm > 0.0:
        raise ValueError(f"clip_norm {clip_norm} must be positive; None is for no clipping")
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
