"""`ddpm_jax.load`: a trained model in Python draws what the command line draws."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import ddpm_jax
from ddpm_jax.data import npz
from ddpm_jax.diffusion import process, solvers


def test_a_sample_is_what_export_draws(finished):
    made = npz.load(finished / "synthetic.npz")
    model = ddpm_jax.load(finished)
    assert model.class_names == tuple("0123456789") and model.step == 6
    np.testing.assert_array_equal(model.sample(made.labels), made.images)
    np.testing.assert_array_equal(model.sample(made.labels[40:45], first=40), made.images[40:45])


def test_what_is_given_replaces_the_configs(finished):
    model = ddpm_jax.load(finished, checkpoint="3")
    labels = [3, 1]
    plain = model.sample(labels)
    for given in ({"seed": 1}, {"steps": 2}, {"guidance": 2.0}, {"solver": "ancestral"}):
        other = model.sample(labels, **given)
        assert other.shape == (2, 8, 8, 1) and other.dtype == np.uint8
        assert not np.array_equal(other, plain), given
    np.testing.assert_array_equal(model.sample(labels), plain)


def test_the_denoiser_goes_with_the_mathematics(finished):
    """The sampler's own steps, taken by hand."""
    model = ddpm_jax.load(finished)
    keys = jax.random.split(jax.random.key(0), 2)
    levels = model.levels
    x = solvers.starting_noise(levels, process.fold_in(keys, 0), (8, 8, 1))
    found = solvers.sample(solvers.ddim(), model.denoiser([3, 1]), levels, x, keys)
    assert found.shape == (2, 8, 8, 1) and np.isfinite(found).all()
    assert np.abs(found).max() <= 1.001


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([10], "from 10 to 10; wanted 0 to 9"),
        ([-1], "wanted 0 to 9"),
        ([], "at least one"),
    ],
)
def test_labels_that_are_none_are_refused(finished, labels, wanted):
    with pytest.raises(ValueError, match=wanted):
        ddpm_jax.load(finished).sample(labels)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        ddpm_jax.load(tmp_path)


def test_importing_the_package_imports_no_jax():
    program = "import sys, ddpm_jax; print(ddpm_jax.__version__, 'jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split()[1:] == ["False"], run.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ddpm_jax.nothing  # noqa: B018
