"""Pictures of images on their way from noise and into it."""

import pathlib
from collections.abc import Sequence

import numpy as np

from ddpm_jax.reporting import movies
from ddpm_jax.viz import pictures

FRAMES_OF_STRIP = 9


def draw_reverse(
    path: pathlib.Path,
    t: np.ndarray,
    x: np.ndarray,
    x0_hat: np.ndarray,
    class_names: Sequence[str] | None,
) -> None:
    """A strip of the first and last class: x_t above, the estimate of x0 below.

    `x` and `x0_hat` are uint8 `[steps, K, H, W, C]`, one image of each of K classes, which may have no names.
    """
    frames = np.linspace(0, len(x0_hat) - 1, FRAMES_OF_STRIP).astype(int)
    shown = sorted({0, x.shape[1] - 1})
    rows = [array[frames, c] for c in shown for array in (x, x0_hat)]
    names = [f"{class_names[c]}: " if class_names else "" for c in shown]
    strip = pictures.strip(
        np.stack(rows),
        [f"t = {t[frame]:.0f}" for frame in frames],
        row_labels=[f"{name}{what}" for name in names for what in ("x_t", "x0 estimate")],
        title="From noise to an image",
    )
    pictures.save(path, strip)


def animate_reverse(
    path: pathlib.Path, t: np.ndarray, x: np.ndarray, class_names: Sequence[str] | None
) -> None:
    """The images of all classes as they come out of the noise, as a GIF."""
    num_classes = x.shape[1]
    steps = np.unique(np.linspace(0, len(x) - 1, movies.MOST_FRAMES).astype(int))
    columns = -(-num_classes // 2) if num_classes > 4 else None
    pictures.gif(
        path,
        [
            pictures.grid(x[i], columns, captions=class_names, title=f"t = {t[i]:.0f}")
            for i in steps
        ],
    )


def draw_forward(
    path: pathlib.Path, frames: np.ndarray, t: Sequence[int], row_labels: Sequence[str]
) -> None:
    """`frames` are uint8 `[B, steps, H, W, C]`: B images with more and more noise."""
    strip = pictures.strip(
        frames, [f"t = {row}" for row in t], row_labels=row_labels, title="From an image to noise"
    )
    pictures.save(path, strip)
