"""The grids that a training drew from the same noise, as one animation."""

import pathlib
from collections.abc import Sequence

import numpy as np

from ddpm_jax.viz import pictures

MOST_FRAMES = 40


def frames(paths: Sequence[pathlib.Path]) -> list[pictures.Picture]:
    """At most `MOST_FRAMES` of the pictures, evenly spaced; each says its step.

    Another `sampling.images_per_class` in the middle of a run made grids of another size: these are left out.
    """
    shown = np.unique(np.linspace(0, max(0, len(paths) - 1), MOST_FRAMES).astype(int))
    found = [pictures.load(paths[i]) for i in shown if paths]
    return [frame for frame in found if frame.shape == found[-1].shape]
