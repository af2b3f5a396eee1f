"""Plots with one row, column or bar for each class. They are saved by `plots.save`."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ddpm_jax.viz.plots import COLORS, HALF, WHOLE, framed, literal, styled

MANY_CLASSES = 20  # beyond this a cell or a bar is too small for its number


@styled
def confusion(
    counts: Int[np.ndarray, "K K"], class_names: Sequence[str], *, title: str = ""
) -> Figure:
    """Rows are true classes, columns the predicted ones; shares of the row's images, in percent."""
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    many = 10 < len(class_names) <= MANY_CLASSES  # with numbers, which need room
    width = WHOLE if many else HALF
    figure, axes = framed(width=width, height=width - 0.4, title=title)
    shown = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    if len(class_names) <= MANY_CLASSES:
        _name_classes(axes, class_names)
        axes.set_yticks(range(len(class_names)), [literal(name) for name in class_names])
        for (row, column), value in np.ndenumerate(percent):
            if counts[row, column]:
                color = "white" if value > 55 else "black"
                text = f"{value:.0f}" if value >= 1 else "<1"
                axes.text(column, row, text, ha="center", va="center", color=color)
    else:
        figure.colorbar(shown, ax=axes, label="% of the true class", shrink=0.8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (each row is 100 %)")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@styled
def balance(
    counts: Mapping[str, Int[np.ndarray, " K"]], class_names: Sequence[str], *, title: str = ""
) -> Figure:
    """Images per class, with a bar for each split."""
    num_classes = len(class_names)
    width = float(np.clip(1.5 + 0.5 * num_classes, WHOLE, 14))
    figure, axes = framed(width=width, height=3.6, title=title)
    bar = 0.8 / len(counts)
    for i, (name, count) in enumerate(counts.items()):
        at = np.arange(num_classes) - 0.4 + bar * (i + 0.5)
        axes.bar(at, count, bar * 0.95, color=COLORS[i % len(COLORS)], label=name)
    if num_classes <= MANY_CLASSES:
        _name_classes(axes, class_names)
    else:
        axes.set_xlabel("class number")
    axes.set_ylabel("images")
    axes.margins(x=0.02)
    if len(counts) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), [literal(name) for name in names])
    if max(map(len, names)) > 4:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
