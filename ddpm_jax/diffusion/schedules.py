"""Noise schedules as tables of levels: row t says how noisy x_t is, row 0 is the clean image.

Everything is computed in float64 NumPy and cast to float32 once, so that no error accumulates in the
product of a thousand factors.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, Num

Scale = Callable[[Float[np.ndarray, " N"]], Float[np.ndarray, " N"]]


@flax.struct.dataclass
class Level:
    """How noisy an image is: `xt = alpha x0 + sigma eps`.

    A table is a Level of shape [T + 1], a batch is one of shape [B], and a solver's step sees scalars.
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
        """T, for a table of T + 1 rows."""
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


def sigmoid_beta(
    num_steps: int, beta_start: float = 1e-4, beta_end: float = 0.02, span: float = 6.0
) -> Level:
    """beta rises as a sigmoid over [-span, span], between the two ends."""
    rise = scipy.special.expit(np.linspace(-span, span, num_steps))
    return from_betas(beta_start + (beta_end - beta_start) * rise)


def sigmoid_alpha_bar(
    num_steps: int,
    start: float = -3.0,
    end: float = 3.0,
    temperature: float = 1.0,
    max_beta: float = 0.999,
) -> Level:
    """alpha_bar falls as a sigmoid from 1 to 0 (Jabri et al. 2022; Chen 2023)."""
    position = np.linspace(start, end, num_steps + 1) / temperature
    alpha_bar = scipy.special.expit(-position)
    alpha_bar = (alpha_bar - alpha_bar[-1]) / (alpha_bar[0] - alpha_bar[-1])
    return from_betas(np.minimum(1.0 - alpha_bar[1:] / alpha_bar[:-1], max_beta))


def blend(num_steps: int = 10, reach: float = 0.4) -> Level:
    """x_t = alpha x0 + (1 - alpha) eps, alpha a cosine that goes `reach` of the way to zero.

    It never reaches noise: at the default's last row the noise weighs 0.19. Sampling from pure
    noise needs a network trained at reach 1, or close to it.
    """
    alpha = np.cos(reach * np.pi / 2 * np.arange(1, num_steps + 1) / num_steps)
    return _table(alpha, 1.0 - alpha)


def from_log_snr(log_snr: Float[np.ndarray, " T"]) -> Level:
    """The variance-preserving table whose rows 1 to T have these log-SNRs.

    No config names it. It is for schedules that a paper states as log-SNRs: shifted for the size of
    the image (Hoogeboom et al. 2023), or linear (Kingma et al. 2021).
    """
    rising = np.flatnonzero(np.diff(log_snr) >= 0.0)
    if rising.size:
        first = rising[0]
        raise ValueError(
            f"log_snr {log_snr[first]} is followed by {log_snr[first + 1]}; it must fall"
        )
    half = log_snr.astype(np.float64) / 2
    return _table(1.0 / np.hypot(1.0, np.exp(-half)), 1.0 / np.hypot(1.0, np.exp(half)))


def karras(
    num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Level:
    """alpha is 1, time is the noise level itself, t = sigma (Karras et al. 2022, eq. 5).

    Levels are counted down from `sigma_max`, as in the paper, so a table of one step has that level.
    """
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigma = np.append(0.0, np.linspace(*ends, num_steps)[::-1] ** rho)
    return _cast(sigma, np.ones_like(sigma), sigma)


def from_betas(betas: Float[np.ndarray, " T"]) -> Level:
    """The variance-preserving table whose step t adds noise of variance `betas[t - 1]`."""
    if not np.all((betas > 0.0) & (betas < 1.0)):
        raise ValueError(f"betas from {betas.min()} to {betas.max()}; all must lie between 0 and 1")
    log_alpha_bar = np.cumsum(np.log1p(-betas.astype(np.float64)))
    return _table(np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar)))


def descending(table: Level, num_steps: int, spacing: str = "uniform") -> Level:
    """The `num_steps + 1` levels that a sampler walks, noisiest first, the clean image last.

    `spacing`: "uniform" and "quadratic" (denser near the image) are in t and start at T. "log_snr"
    is even in log-SNR; "karras" is that of Karras et al. 2022, eq. 5, with rho = 7. These two start
    at sigma / alpha = 80, as in the paper, if the table is noisier: a cosine's last rows would take
    half of the steps. As many uniform steps as the table has give its own rows. Other numbers also
    give fractional t, where log-SNR is interpolated between the neighboring rows.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps {num_steps}; at least 1 is needed")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing {spacing!r}; known are {', '.join(SPACINGS)}")
    return _at_rows(table, SPACINGS[spacing](table, num_steps))


def _uniform(table: Level, num_steps: int) -> Float[np.ndarray, " N"]:
    return np.linspace(table.num_steps, 0.0, num_steps + 1)


def _quadratic(table: Level, num_steps: int) -> Float[np.ndarray, " N"]:
    return table.num_steps * np.linspace(1.0, 0.0, num_steps + 1) ** 2


def _karras(table: Level, num_steps: int) -> Float[np.ndarray, " N"]:
    return _even_in(table, num_steps, lambda ratio: ratio ** (1 / 7))


def _log_snr(table: Level, num_steps: int) -> Float[np.ndarray, " N"]:
    return _even_in(table, num_steps, np.log)


def _even_in(table: Level, num_steps: int, scale: Scale) -> Float[np.ndarray, " N"]:
    """Rows evenly spaced in scale(sigma / alpha) down to row 1, then the clean row."""
    ratio = np.asarray(table.sigma[1:], np.float64) / np.asarray(table.alpha[1:], np.float64)
    low, high = scale(np.array([ratio[0], min(ratio[-1], 80.0)]))
    wanted = np.linspace(high, low, num_steps)
    rows = np.interp(wanted, scale(ratio), np.arange(1.0, table.num_steps + 1))
    return np.append(rows, 0.0)


SPACINGS = {"uniform": _uniform, "quadratic": _quadratic, "karras": _karras, "log_snr": _log_snr}


def step_to(table: Level, t: Int[Array, "*shape"]) -> tuple[Level, Level]:
    """The levels of the step from row t to row t - 1; t is at least 1."""
    return table[t], table[jnp.maximum(t - 1, 0)]


def at_log_snr(table: Level, log_snr: Float[Array, ""]) -> Level:
    """The table's level of this log-SNR, with t between rows; beyond the table, rows 1 and T."""
    rows = table[1:]
    log_snr = jnp.clip(log_snr, rows.log_snr[-1], rows.log_snr[0])

    def interpolate(values):
        return jnp.interp(-log_snr, -rows.log_snr, values)

    norm = jnp.exp(interpolate(jnp.log(jnp.hypot(rows.alpha, rows.sigma))))
    alpha, sigma = (jnp.sqrt(jax.nn.sigmoid(sign * log_snr)) for sign in (1, -1))
    return Level(interpolate(rows.t), norm * alpha, norm * sigma)


def _at_rows(table: Level, rows: Float[np.ndarray, " N"]) -> Level:
    """The table at fractional row numbers: log-SNR and log norm of (alpha, sigma) interpolated."""
    t, alpha, sigma = (np.asarray(part, np.float64) for part in (table.t, table.alpha, table.sigma))
    below = np.clip(np.floor(rows).astype(int), 0, table.num_steps - 1)
    fraction = rows - below
    ratio, norm = sigma / alpha, np.hypot(alpha, sigma)

    def geometric(values):
        return values[below] ** (1 - fraction) * values[below + 1] ** fraction

    # Row 0 has infinite log-SNR, so between rows 0 and 1 the ratio is interpolated linearly.
    new_ratio = np.where(below == 0, fraction * ratio[1], geometric(ratio))
    new_alpha = geometric(norm) / np.hypot(1.0, new_ratio)
    new_t = (1 - fraction) * t[below] + fraction * t[below + 1]
    # Whole row numbers give the table's own rows, to the last bit.
    nearest = np.round(rows).astype(int)
    whole = rows == nearest
    return _cast(
        np.where(whole, t[nearest], new_t),
        np.where(whole, alpha[nearest], new_alpha),
        np.where(whole, sigma[nearest], new_alpha * new_ratio),
    )


def _table(alpha: Float[np.ndarray, " T"], sigma: Float[np.ndarray, " T"]) -> Level:
    """Prepend row 0, the clean image, to rows 1 to T."""
    t = np.arange(len(alpha) + 1, dtype=np.float64)
    return _cast(t, np.append(1.0, alpha), np.append(0.0, sigma))


def _cast(*parts: Float[np.ndarray, " rows"]) -> Level:
    return Level(*(jnp.asarray(part, jnp.float32) for part in parts))
