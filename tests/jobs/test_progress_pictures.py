"""The animation of a training, from the grids that the training left."""

import numpy as np
import pytest

from ddpm_jax.reporting import movies
from ddpm_jax.viz import pictures


@pytest.mark.parametrize(
    "sides, num",
    [((20, 20, 20), 3), ((30, 20, 20), 2), ((20,) * 100, movies.MOST_FRAMES), ((), 0)],
)
def test_the_grids_of_the_training_become_an_animation(tmp_path, sides, num):
    """Those of another size than the last are left out; of very many, some are shown."""
    paths = [tmp_path / f"{step:07d}.png" for step in range(len(sides))]
    for step, (path, side) in enumerate(zip(paths, sides, strict=True)):
        pictures.save(path, np.full((side, 20, 3), 2 * step, np.uint8))
    frames = movies.frames(paths)
    assert len(frames) == num
    if num:
        np.testing.assert_array_equal(frames[-1], pictures.load(paths[-1]))
