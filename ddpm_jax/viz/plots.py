"""Plots of numbers: every function returns a Matplotlib `Figure`, and `save` writes it.

No `pyplot`: its figures live in a global list, and its backend depends on the machine.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ddpm_jax.whole_file import replacing

# Okabe & Ito's colors, distinguishable with every common kind of color blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FONT_SIZE = 9.0
STYLE: dict[Any, float] = {
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "legend.fontsize": FONT_SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
"""Of all plots. The widths below are such that a page shows them unscaled, so that letters have one size."""
HALF, WHOLE = 4.5, 6.6
"""Widths in inches: of a plot with another beside it, and of one alone."""
MANY_CURVES = 5  # a longer legend stands beside the plot

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Matplotlib reads its settings when it makes a text: they hold while `draw` runs, and no longer."""

    @functools.wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


class Curve(NamedTuple):
    """Points with the half-widths of their intervals, if they have any."""

    x: Num[np.ndarray, " n"]
    y: Num[np.ndarray, " n"]
    half_width: Num[np.ndarray, " n"] | None = None


@styled
def save(path: str | Path, figure: Figure) -> None:
    """Write the figure; the ending of `path` chooses the format."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:], dpi=144)


def history(
    rows: Sequence[Mapping[str, float]], names: Sequence[str], *, title: str = "", log: bool = True
) -> Figure:
    """Scalars over steps, from the rows of `metrics.jsonl`; a row need not have every name."""
    curves = {}
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        if not points:
            known = sorted({key for row in rows for key in row} - {"step"})
            raise ValueError(f"no row has {name!r}; the rows have {known}")
        step, value = np.array(points, np.float64).T
        curves[name.replace("_", " ")] = Curve(step, value)
    return lines(curves, x_label="training step", y_label="", log_y=log, title=title)


@styled
def lines(
    curves: Mapping[str, Curve],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Curves with bands, and named horizontal `levels` to compare them with."""
    entries = len(curves) + len(levels or {})
    figure, axes = framed(width=WHOLE if entries > MANY_CURVES else HALF, title=title)
    for (name, curve), color, marker in zip(curves.items(), *_styles(len(curves)), strict=False):
        few = len(curve.x) <= 25
        label = literal(name)
        axes.plot(curve.x, curve.y, color=color, label=label, marker=marker if few else "", ms=5)
        if curve.half_width is not None:
            low, high = curve.y - curve.half_width, curve.y + curve.half_width
            axes.fill_between(curve.x, low, high, color=color, alpha=0.2, linewidth=0)
    for i, (name, level) in enumerate((levels or {}).items()):
        style = ("--", ":", "-.")[i % 3]
        axes.axhline(level, color="0.35", linestyle=style, label=name, linewidth=1.2)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if log_x:
        axes.set_xscale("log")
        ticks = np.unique(np.concatenate([curve.x for curve in curves.values()]))
        if len(ticks) <= 10:
            ticks = _apart(ticks)
            axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
            axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if entries > MANY_CURVES:
        figure.legend(loc="outside right upper")
    elif entries > 1:
        axes.legend()
    return figure


@styled
def equivalence(
    synthetic: Num[np.ndarray, " n"],
    real: Num[np.ndarray, " n"],
    intervals: Num[np.ndarray, "2 n"],
    *,
    between: tuple[float, float],
    title: str = "",
) -> Figure:
    """How many real images each number of synthetic ones is worth, with intervals, on two log axes.

    A NaN in `real` is a bound: only its interval is drawn, with a bar at each end.
    between: the fewest and the most real images that were measured. An interval that goes beyond them,
    to 0 or infinity, ends there in an arrow.
    """
    figure, axes = framed(title=title)
    fewest, most = between
    low, high = (np.clip(ends, fewest, most) for ends in intervals)
    axes.vlines(synthetic, low, high, color=COLORS[0], alpha=0.4, linewidth=4)
    bound = np.isnan(real)
    for x, y, marker, name in (
        (synthetic[~bound], real[~bound], "o", ""),
        (synthetic[intervals[1] > most], high[intervals[1] > most], "^", ""),
        (synthetic[intervals[0] < fewest], low[intervals[0] < fewest], "v", ""),
        (np.tile(synthetic[bound], 2), np.concatenate([low[bound], high[bound]]), "_",
         "a bound: nothing between was measured"),
    ):  # fmt: skip
        if len(x):
            axes.plot(x, y, marker, color=COLORS[0], ms=7 if marker != "_" else 16, label=name)
    ends = np.array([min(synthetic.min(), fewest), max(synthetic.max(), most)])
    axes.plot(ends, ends, color="0.35", linestyle=":", linewidth=1.2, label="one for one")
    every = "all real images there are"
    axes.axhline(most, color="0.35", linestyle="--", linewidth=1.2, label=every)
    axes.set_xlabel("synthetic images alone")
    axes.set_ylabel("real images that they are worth")
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
    axes.legend()
    return figure


def _apart(ticks: Num[np.ndarray, " n"]) -> Num[np.ndarray, " _"]:
    """The ticks whose numbers do not overlap on a logarithmic axis; of two that do, the larger is kept."""
    nearest = np.ptp(np.log(ticks)) / 8
    kept = [ticks[-1]]
    for tick in ticks[-2::-1]:
        if np.log(kept[-1] / tick) > nearest:
            kept.append(tick)
    return np.array(kept[::-1])


@styled
def schedules(
    tables: Mapping[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]],
) -> Figure:
    """alpha^2 (alpha_bar where variance is preserved) and log-SNR over t / T, from alpha, sigma."""
    figure = Figure(figsize=(WHOLE, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, (alpha, sigma)), color, _ in zip(
        tables.items(), *_styles(len(tables)), strict=False
    ):
        alpha, sigma = np.asarray(alpha, np.float64), np.asarray(sigma, np.float64)
        time = np.linspace(0, 1, len(alpha))
        left.plot(time, alpha**2, color=color, label=name)
        inside = (alpha > 0) & (sigma > 0)  # log-SNR is infinite on clean images
        log_snr = 2 * np.log(alpha[inside] / sigma[inside])
        right.plot(time[inside], log_snr, color=color, label=name)
    left.set_title("share of signal", loc="left")
    left.set_ylabel("alpha²")
    right.set_title("signal to noise", loc="left")
    right.set_ylabel("log-SNR")
    for axes in (left, right):
        axes.set_xlabel("t / T")
        _clean(axes)
    left.legend()
    return figure


@styled
def arms(
    accuracy: Mapping[str, tuple[float, float]],
    *,
    low: float = 0.0,
    x_label: str = "accuracy on real test images (%)",
    title: str = "",
) -> Figure:
    """Mean and half-width of the interval for each arm, shares of 1, drawn in percent from `low` to 100."""
    figure, axes = framed(width=WHOLE, height=1.0 + 0.4 * len(accuracy), title=title)
    for row, (mean, half_width) in enumerate(100 * np.array(list(accuracy.values()))):
        inside = [[min(half_width, mean - low)], [min(half_width, 100 - mean)]]
        axes.errorbar(mean, row, xerr=inside, fmt="o", color=COLORS[0], capsize=4)
        text = f"{mean:.1f} ± {half_width:.1f}"
        axes.annotate(text, (mean, row), (0, 6), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(accuracy)), [literal(name) for name in accuracy])
    axes.set_ylim(len(accuracy) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.set_xlabel(x_label)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    return figure


@styled
def framed(*, width: float = HALF, height: float = 3.2, title: str = "") -> tuple[Figure, Axes]:
    """An empty plot in the style of all."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(literal(title), loc="left", wrap=True)
    _clean(axes)
    return figure, axes


def literal(text: str) -> str:
    """The user's text, in which Matplotlib is to read no formula."""
    return text.replace("$", r"\$")


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _styles(count: int) -> Iterator[Sequence]:
    repeat = -(-count // len(COLORS))
    if count > len(COLORS):
        spread = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, count))
        return iter((list(spread), MARKERS * repeat))
    return iter((COLORS, MARKERS))
