"""`ddpm_jax.load`: a trained model in Python draws what the command line draws."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import ddpm_jax
from ddpm_jax import rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
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


def digits_in_memory(config, split="train"):
    part = getattr(datasets.build_splits(config.data, config.seed), split)
    return source.decode(part), part.labels


def test_a_training_on_arrays_resumes_and_refuses_others(config, tmp_path):
    images, labels = digits_in_memory(config)
    config.training.sample_every = 1000
    model = ddpm_jax.train(images, labels, config, tmp_path, "abcdefghij")
    assert model.class_names == tuple("abcdefghij") and model.step == 6
    again = ddpm_jax.train(images, labels, config, tmp_path, "abcdefghij")  # up to date
    np.testing.assert_array_equal(again.sample([4]), model.sample([4]))
    before = (tmp_path / "images.npz").read_bytes()
    with pytest.raises(ValueError, match=r"images\.npz holds other images"):
        ddpm_jax.train(images[:500], labels[:500], config, tmp_path, "abcdefghij")
    assert (tmp_path / "images.npz").read_bytes() == before
    with pytest.raises(ValueError, match="as many rows as columns"):
        ddpm_jax.train(images[:, :4], labels, config, tmp_path / "other")


@pytest.mark.slow
def test_the_worth_of_arrays_is_what_classify_measures(finished, config):
    wanted = rundir.result(finished, "classify")["arms"]
    made = npz.load(finished / "synthetic.npz")
    test = digits_in_memory(config, "test")
    found = ddpm_jax.worth(
        digits_in_memory(config), (source.decode(made), made.labels), test, config
    )
    assert rundir.plain(found).keys() == wanted.keys()
    for arm, fields in rundir.plain(found).items():
        assert fields == {name: wanted[arm][name] for name in fields}


def test_configs_are_there_by_name():
    assert ddpm_jax.get_config("digits").net.base_channels == 32
    with pytest.raises(ValueError, match="there is no config 'diggits'; the program has cifar10"):
        ddpm_jax.get_config("diggits")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        ddpm_jax.load(tmp_path)


def test_importing_the_package_imports_no_jax():
    program = "import sys, ddpm_jax; print(ddpm_jax.__version__, 'jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.split()[1:] == ["False"], run.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ddpm_jax.nothing  # noqa: B018
