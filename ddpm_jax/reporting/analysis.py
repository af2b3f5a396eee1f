"""What an analysis found: the classes as a table, the data and the noise as pictures, the loss by level."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from ddpm_jax.viz import class_plots, pictures, plots

AUGMENTED = {
    "augmented": "As the generator's training sees them",
    "copies": "As the classifiers' augmentation changes them",
}
"""The title of each picture of augmented images."""


def classes_table(counts: Mapping[str, np.ndarray], class_names: Sequence[str]) -> str:
    """Lines with the number of images of each class in each split."""
    width = max(5, *map(len, class_names))
    lines = [f"{'class':<{width}}" + "".join(f"{split:>12}" for split in counts)]
    for i, name in enumerate(class_names):
        lines.append(f"{name:<{width}}" + "".join(f"{count[i]:>12}" for count in counts.values()))
    lines.append(f"{'all':<{width}}" + "".join(f"{count.sum():>12}" for count in counts.values()))
    return "\n".join(lines)


def draw_classes(
    path: pathlib.Path,
    counts: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    dataset: str,
) -> None:
    title = f"Images of {dataset} by class"
    plots.save(path, class_plots.balance(counts, class_names, title=title))


def draw_augmented(
    path: pathlib.Path, title: str, columns: Sequence[np.ndarray], class_names: Sequence[str]
) -> None:
    """One row per image: the first of `columns` has the real images, the others changed ones."""
    off = all(np.array_equal(column, columns[0]) for column in columns)
    picture = pictures.strip(
        np.stack(columns, axis=1),
        ["real", *(str(copy) for copy in range(1, len(columns)))],
        row_labels=class_names,
        title=title + " (no augmentation is on)" * off,
    )
    pictures.save(path, picture)


def draw_forward_chain(path: pathlib.Path, both_ways: np.ndarray, rows: Sequence[int]) -> None:
    """One uint8 image at some rows of the noise table, `[2, rows, H, W, C]`."""
    picture = pictures.strip(
        both_ways,
        [f"t = {row}" for row in rows],
        row_labels=["step by step", "at once"],
        title="Two ways to x_t: two noises, one distribution",
    )
    pictures.save(path, picture)


def draw_losses(
    path: pathlib.Path, rows: np.ndarray, mean: np.ndarray, half_width: np.ndarray, images: str
) -> None:
    """`mean` and `half_width`, `[rows, 2]`, are those of the estimated noise and clean image."""
    curves = {
        name: plots.Curve(rows, mean[:, i], half_width[:, i])
        for i, name in enumerate(("noise", "clean image"))
    }
    title = f"Error by noise level, {images}"
    figure = plots.lines(curves, x_label="t", y_label="mean squared error", title=title, log_y=True)
    plots.save(path, figure)


def losses_by_t(
    rows: np.ndarray, mean: np.ndarray, half_width: np.ndarray
) -> dict[str, dict[str, float]]:
    """The same numbers as fields of `results/analyze.json`."""
    names = ("eps", "x0")
    return {
        str(row): {name: float(mean[i, j]) for j, name in enumerate(names)}
        | {f"{name}_ci95": float(half_width[i, j]) for j, name in enumerate(names)}
        for i, row in enumerate(rows)
    }
