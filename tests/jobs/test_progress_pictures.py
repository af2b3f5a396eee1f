"""The animation of a training, from the grids that the training left."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from ddpm_jax import run_files
from ddpm_jax.jobs import sample
from ddpm_jax.viz import pictures


@pytest.mark.parametrize(
    "sides, frames",
    [((20, 20, 20), 3), ((30, 20, 20), 2), ((20,) * 100, sample.FRAMES_OF_GIF)],
)
def test_the_grids_of_the_training_become_an_animation(tmp_path, sides, frames):
    """Those of another size than the last are left out; of very many, some are shown."""
    for step, side in enumerate(sides):
        grid = np.full((side, 20, 3), 2 * step, np.uint8)
        pictures.save(tmp_path / "figures" / "samples" / f"{step:07d}.png", grid)
    sample.save_progress(run_files.open_for("sample", ConfigDict(), tmp_path))
    with Image.open(tmp_path / "figures" / "progress.gif") as movie:
        assert movie.n_frames == frames


def test_without_grids_there_is_no_animation(tmp_path):
    sample.save_progress(run_files.open_for("sample", ConfigDict(), tmp_path))
    assert not (tmp_path / "figures").exists()
