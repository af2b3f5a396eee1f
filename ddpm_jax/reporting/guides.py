"""How well a guiding classifier sees through the noise, as a plot."""

import pathlib
from collections.abc import Mapping

import numpy as np

from ddpm_jax.viz import plots


def draw(
    path: pathlib.Path, accuracy_by_t: Mapping[str, float], num_classes: int, split: str
) -> None:
    """Accuracy at some t, beside that of a guess."""
    t = np.array(list(accuracy_by_t), np.float64)
    curve = plots.Curve(t, 100 * np.array(list(accuracy_by_t.values())))
    figure = plots.lines(
        {"guide": curve},
        x_label="t",
        y_label="accuracy (%)",
        title=f"Guiding classifier on noised images of {split}",
        levels={"chance": 100 / num_classes},
    )
    plots.save(path, figure)
