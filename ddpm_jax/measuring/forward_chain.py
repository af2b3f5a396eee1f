"""Noise added step by step against noise added at once: the distribution is the same."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ddpm_jax.diffusion import process, schedules
from ddpm_jax.types import Images


def walk(
    x0: Images, table: schedules.Level, rows: Sequence[int], key: Key[Array, ""]
) -> tuple[Float[Array, "rows B H W C"], Float[Array, "rows B H W C"]]:
    """x_t at some rows of the table: step by step from x_(t-1), and at once from x0."""
    at = jnp.asarray(rows)

    @jax.jit
    def by_steps(x0):
        def one(x, step):
            now, nxt, number = step
            ratio, variance = process.transition(now, nxt)
            noise = jax.random.normal(jax.random.fold_in(key, number), x.shape)
            x = ratio * x + jnp.sqrt(variance) * noise
            return x, x

        steps = table[1:], table[:-1], jnp.arange(table.num_steps)
        _, states = jax.lax.scan(one, x0, steps)
        return jnp.concatenate([x0[None], states])[at]

    eps = jax.random.normal(jax.random.fold_in(key, table.num_steps), x0.shape)
    return by_steps(x0), jnp.stack([process.noise(x0, table[row], eps) for row in rows])


def moments(
    chain: Float[Array, "rows B H W C"], x0: Images, table: schedules.Level, rows: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Mean and spread of the step-by-step images by t, beside their closed form."""
    return {
        str(row): {
            "mean_by_steps": float(chain[i].mean()),
            "mean_at_once": float(table.alpha[row] * x0.mean()),
            "std_by_steps": float(jnp.std(chain[i] - table.alpha[row] * x0)),
            "std_at_once": float(table.sigma[row]),
        }
        for i, row in enumerate(rows)
    }
