"""How t is drawn in training: per image, from 1 to T, as a function of a key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def uniform(key: Key[Array, ""], num: int, num_steps: int) -> Int[Array, "num"]:
    return jax.random.randint(key, (num,), 1, num_steps + 1)


def stratified(key: Key[Array, ""], num: int, num_steps: int) -> Int[Array, "num"]:
    """Evenly spread over 1..T from a random start, each by itself uniform.

    Lowers the variance of the batch's loss (Kingma et al. 2021, app. I.1).
    """
    position = (jax.random.uniform(key) + jnp.arange(num) / num) % 1.0
    return _row(position, num_steps)


def beta(
    key: Key[Array, ""], num: int, num_steps: int, a: float = 0.5, b: float = 0.5
) -> Int[Array, "num"]:
    """t / T drawn from Beta(a, b); the default prefers both ends."""
    return _row(jax.random.beta(key, a, b, (num,)), num_steps)


def _row(position: Float[Array, "num"], num_steps: int) -> Int[Array, "num"]:
    return jnp.clip(jnp.floor(position * num_steps).astype(jnp.int32) + 1, 1, num_steps)


class LossHistory(NamedTuple):
    """The last losses at each t, oldest first, and how many of them are real."""

    losses: Float[Array, "T history"]
    counts: Int[Array, "T"]


def empty_history(num_steps: int, length: int = 10) -> LossHistory:
    return LossHistory(jnp.zeros((num_steps, length)), jnp.zeros(num_steps, jnp.int32))


def second_moment(
    key: Key[Array, ""], num: int, history: LossHistory, uniform_share: float = 1e-3
) -> tuple[Int[Array, "num"], Float[Array, "num"]]:
    """t drawn in proportion to sqrt(E[L_t^2]), and the weight 1 / (T p_t) that keeps the mean loss.

    Nichol & Dhariwal 2021, eq. 18; uniform until every t has a full history.
    """
    num_steps, length = history.losses.shape
    size = jnp.sqrt(jnp.mean(jnp.square(history.losses), axis=1))
    share = jnp.where(
        jnp.all(history.counts == length), size / jnp.maximum(size.sum(), 1e-30), 1.0 / num_steps
    )
    share = (1.0 - uniform_share) * share + uniform_share / num_steps
    row = jax.random.choice(key, num_steps, (num,), p=share)
    return row + 1, 1.0 / (num_steps * share[row])


def remember(
    history: LossHistory, t: Int[Array, "num"], losses: Float[Array, "num"]
) -> LossHistory:
    """The history after a batch, its losses taken before they were weighted."""

    def add(history, item):
        t, loss = item
        row = jnp.append(history.losses[t - 1, 1:], loss)
        counts = jnp.minimum(history.counts.at[t - 1].add(1), history.losses.shape[1])
        return LossHistory(history.losses.at[t - 1].set(row), counts), None

    history, _ = jax.lax.scan(add, history, (t, losses))
    return history
