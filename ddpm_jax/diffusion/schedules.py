"""Noise schedules as tables of levels: row t says how noisy x_t is, row 0 is the clean image.

Everything is computed in float64 NumPy and cast to float32 once: no error accumulates in the
product of a thousand factors.
"""

from collections.abc import Callable

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

Scale = Callable[[Float[np.ndarray, "N"]], Float[np.ndarray, "N"]]


@flax.struct.dataclass
class Level:
    """How noisy an image is: `xt = alpha x0 + sigma eps`.

    A table is a Level of shape [T + 1], a batch one of shape [B], a solver's step sees scalars.
    """

    t: Float[Array, "*shape"]
    alpha: Float[Array, "*shape"]
    sigma: Float[Array, "*shape"]

    @property
    def log_snr(self) -> Float[Array, "*shape"]:
        """Infinite where the image is clean."""
        return 2.0 * (jnp.log(self.alpha) - jnp.log(self.sigma))

    @property
    def num_steps(self) -> int:
        """T, of a table of T + 1 rows."""
        return self.t.shape[0] - 1

    def __getitem__(self, index: int | slice | Int[Array, "*index"]) -> "Level":
        return Level(self.t[index], self.alpha[index], self.sigma[index])

    def like(self, x: Num[Array, "..."]) -> "Level":
        """The same levels with axes of size 1 appended, to multiply arrays shaped as x."""
        if self.t.ndim == 0:
            return self
        shape = self.t.shape + (1,) * (x.ndim - self.t.ndim)
        return Level(*(part.reshape(shape) for part in (self.t, self.alpha, self.sigma)))


def linear(num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Level:
    """beta rises linearly (Ho et al. 2020, sec. 4).

    The default ends are made for 1,000 steps; for T steps multiply both by 1000 / T.
    """
    return from_betas(np.linspace(beta_start, beta_end, num_steps))


def cosine(num_steps: int, offset: float = 0.008, max_beta: float = 0.999) -> Level:
    """alpha_bar falls as a squared cosine (Nichol & Dhariwal 2021, eq. 17), beta is capped."""
    angle = (np.linspace(0.0, 1.0, num_steps + 1) + offset) / (1.0 + offset) * np.pi / 2
    alpha_bar = np.cos(angle) ** 2
    return from_betas(np.minimum(1.0 - alpha_bar[1:] / alpha_bar[:-1], max_beta))


def from_betas(betas: Float[np.ndarray, "T"]) -> Level:
    """The variance-preserving table whose step t adds noise of variance `betas[t - 1]`."""
    if not np.all((betas > 0.0) & (betas < 1.0)):
        raise ValueError(f"betas from {betas.min()} to {betas.max()}; all must lie between 0 and 1")
    log_alpha_bar = np.cumsum(np.log1p(-betas.astype(np.float64)))
    return _table(np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar)))


def descending(table: Level, num_steps: int, spacing: str = "uniform") -> Level:
    """The `num_steps + 1` levels that a sampler walks, noisiest first, the clean image last.

    `spacing`: "uniform" and "quadratic" (denser near the image) are in t and start at T, "log_snr"
    is even in log-SNR and "karras" that of Karras et al. 2022, eq. 5, with rho = 7. These two start
    at sigma / alpha = 80, as theirs does, where the table is noisier: a cosine's last rows would
    take half of the steps. As many uniform steps as the table has give each of its rows; other
    numbers give fractional t too, between whose neighbors log-SNR is interpolated.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps {num_steps}; at least 1 is needed")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing {spacing!r}; known are {', '.join(SPACINGS)}")
    return _at_rows(table, SPACINGS[spacing](table, num_steps))


def _uniform(table: Level, num_steps: int) -> Float[np.ndarray, "N"]:
    return np.linspace(table.num_steps, 0.0, num_steps + 1)


def _quadratic(table: Level, num_steps: int) -> Float[np.ndarray, "N"]:
    return table.num_steps * np.linspace(1.0, 0.0, num_steps + 1) ** 2


def _karras(table: Level, num_steps: int) -> Float[np.ndarray, "N"]:
    return _even_in(table, num_steps, lambda ratio: ratio ** (1 / 7))


def _log_snr(table: Level, num_steps: int) -> Float[np.ndarray, "N"]:
    return _even_in(table, num_steps, np.log)


def _even_in(table: Level, num_steps: int, scale: Scale) -> Float[np.ndarray, "N"]:
    """Rows evenly spaced in scale(sigma / alpha) down to row 1, then the clean row."""
    ratio = np.asarray(table.sigma[1:], np.float64) / np.asarray(table.alpha[1:], np.float64)
    low, high = scale(np.array([ratio[0], min(ratio[-1], 80.0)]))
    wanted = np.linspace(high, low, num_steps)
    rows = np.interp(wanted, scale(ratio), np.arange(1.0, table.num_steps + 1))
    return np.append(rows, 0.0)


SPACINGS = {"uniform": _uniform, "quadratic": _quadratic, "karras": _karras, "log_snr": _log_snr}


def _at_rows(table: Level, rows: Float[np.ndarray, "N"]) -> Level:
    """The table at fractional row numbers: log-SNR and the norm of (alpha, sigma) interpolated."""
    t, alpha, sigma = (np.asarray(part, np.float64) for part in (table.t, table.alpha, table.sigma))
    below = np.clip(np.floor(rows).astype(int), 0, table.num_steps - 1)
    fraction = rows - below
    # Nothing lies between infinity and a number: next to the clean row sigma / alpha is linear.
    ratio = sigma / alpha
    with np.errstate(divide="ignore"):
        log_ratio = np.log(ratio)
    geometric = np.exp((1 - fraction) * log_ratio[below] + fraction * log_ratio[below + 1])
    ratio = np.where(below == 0, fraction * ratio[1], geometric)
    scale = np.hypot(alpha, sigma)
    scale = (1 - fraction) * scale[below] + fraction * scale[below + 1]
    new_alpha = scale / np.hypot(1.0, ratio)
    # Whole row numbers give the table's own rows, to the last bit.
    whole = rows == np.round(rows)
    nearest = np.round(rows).astype(int)
    new_t = (1 - fraction) * t[below] + fraction * t[below + 1]
    return _cast(
        np.where(whole, t[nearest], new_t),
        np.where(whole, alpha[nearest], new_alpha),
        np.where(whole, sigma[nearest], new_alpha * ratio),
    )


def _table(alpha: Float[np.ndarray, "T"], sigma: Float[np.ndarray, "T"]) -> Level:
    """Row 0, the clean image, put before rows 1 to T."""
    t = np.arange(len(alpha) + 1, dtype=np.float64)
    return _cast(t, np.concatenate([[1.0], alpha]), np.concatenate([[0.0], sigma]))


def _cast(*parts: Float[np.ndarray, "rows"]) -> Level:
    return Level(*(jnp.asarray(part, jnp.float32) for part in parts))
