"""How t is sampled in training: per image, from 1 to T, as a function of a key."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def uniform(key: Key[Array, ""], num: int, num_steps: int) -> Int[Array, " num"]:
    return jax.random.randint(key, (num,), 1, num_steps + 1)


def stratified(key: Key[Array, ""], num: int, num_steps: int) -> Int[Array, " num"]:
    """Evenly spread over 1..T from a random start; each t alone is uniform.

    This lowers the variance of the batch's loss (Kingma et al. 2021, app. I.1).
    """
    position = (jax.random.uniform(key) + jnp.arange(num) / num) % 1.0
    return _row(position, num_steps)


def beta(
    key: Key[Array, ""], num: int, num_steps: int, a: float = 0.5, b: float = 0.5
) -> Int[Array, " num"]:
    """t / T sampled from Beta(a, b); the default prefers both ends."""
    return _row(jax.random.beta(key, a, b, (num,)), num_steps)


def _row(position: Float[Array, " num"], num_steps: int) -> Int[Array, " num"]:
    return jnp.clip(jnp.floor(position * num_steps).astype(jnp.int32) + 1, 1, num_steps)


class LossMoments(NamedTuple):
    """The mean square of the losses at each t, and their number.

    For one batch, both are divided by its size, so that those of its parts can be averaged.
    """

    squares: Float[Array, " T"]
    counts: Float[Array, " T"]


def no_moments(num_steps: int) -> LossMoments:
    return LossMoments(jnp.zeros(num_steps), jnp.zeros(num_steps))


def observe(t: Int[Array, " B"], losses: Float[Array, " B"], num_steps: int) -> LossMoments:
    """The moments of one batch, from its losses before the weights of `second_moment`."""
    # Not a scatter: on a GPU its order of addition is not fixed.
    here = jax.nn.one_hot(t - 1, num_steps)
    return LossMoments((here * jnp.square(losses)[:, None]).mean(0), here.mean(0))


def remember(moments: LossMoments, batch: LossMoments, num: int, decay: float = 0.9) -> LossMoments:
    """The moments after a batch of `num` images: means over about the last 1 / (1 - decay) losses per t."""
    new = batch.counts * num
    kept = jnp.where(moments.counts > 0, decay**new, jnp.where(new > 0, 0.0, 1.0))
    mean = batch.squares / jnp.where(new > 0, batch.counts, 1.0)
    return LossMoments(kept * moments.squares + (1.0 - kept) * mean, moments.counts + new)


def second_moment(
    key: Key[Array, ""],
    num: int,
    moments: LossMoments,
    uniform_share: float = 1e-3,
    least: int = 10,
) -> tuple[Int[Array, " num"], Float[Array, " num"]]:
    """t sampled in proportion to sqrt(E[L_t^2]), and the weight 1 / (T p_t) that keeps the mean loss.

    Nichol & Dhariwal 2021, eq. 18; uniform until every t has had `least` losses. They average the
    last ten losses of each t; here old losses decay.
    """
    num_steps = len(moments.counts)
    size = jnp.sqrt(moments.squares)
    known = jnp.all(moments.counts >= least)
    share = jnp.where(known, size / jnp.maximum(size.sum(), 1e-30), 1.0 / num_steps)
    share = (1.0 - uniform_share) * share + uniform_share / num_steps
    row = jax.random.choice(key, num_steps, (num,), p=share)
    return row + 1, 1.0 / (num_steps * share[row])
