"""The exact denoiser of data N(mean, std^2) and what follows from it in closed form.

For xt = alpha x0 + sigma eps the conditional mean is E[x0 | xt] = mean + g (xt - alpha mean) with
g = std^2 alpha / (alpha^2 std^2 + sigma^2): Bayes' rule for two Gaussians.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ddpm_jax.diffusion import predictions

MEAN, STD = 0.3, 0.5


def gain(level, std=STD):
    return std**2 * level.alpha / (level.alpha**2 * std**2 + level.sigma**2)


def x0_hat(xt, level, mean=MEAN, std=STD):
    level = level.like(xt)
    return mean + gain(level, std) * (xt - level.alpha * mean)


def denoise(xt, level):
    return predictions.from_x0(xt, x0_hat(xt, level), level)


def predict(table, kind):
    """The exact network; like any, it knows its level only by t, fractional t included."""

    def raw(xt, t):
        below = jnp.clip(t.astype(jnp.int32), 0, table.num_steps - 1)
        level = jax.tree.map(lambda a, b: a + (t - below) * (b - a), table[below], table[below + 1])
        return predictions.target(kind, *denoise(xt, level)[:2], level)

    return raw


def spread(level, std=STD):
    """Standard deviation of xt."""
    alpha, sigma = np.float64(level.alpha), np.float64(level.sigma)
    return np.sqrt(alpha**2 * std**2 + sigma**2)


def flow(x, now, nxt, mean=MEAN, std=STD):
    """Where the probability flow carries x: every Gaussian marginal keeps its quantiles."""
    alphas = np.float64(now.alpha), np.float64(nxt.alpha)
    centered = (np.float64(x) - alphas[0] * mean) / spread(now, std)
    return alphas[1] * mean + spread(nxt, std) * centered
