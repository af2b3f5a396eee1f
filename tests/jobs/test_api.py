"""`ddpm_jax.load`: a trained model in Python draws what the command line draws."""

import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import ddpm_jax
from ddpm_jax import config_files, rundir
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


def test_a_trajectory_goes_from_noise_to_the_last_estimate(finished, compiled_quickly):
    model = ddpm_jax.load(finished)
    x, x0_hat = model.trajectory([3, 1], steps=3)
    assert x.shape == (4, 2, 8, 8, 1) and x0_hat.shape == (3, 2, 8, 8, 1)
    np.testing.assert_array_equal(x[-1], x0_hat[-1])  # the last step goes to a level without noise
    assert not np.array_equal(x[0], model.trajectory([3, 1], steps=3, seed=1)[0][0])


def test_a_trajectory_is_the_way_to_the_samples(finished, compiled_quickly):
    """But for rounding, because it is another program."""
    model, asked = ddpm_jax.load(finished), {"seed": 7, "steps": 3, "solver": "ancestral"}
    asked["guidance"] = 2.0
    made = model.sample([3, 1, 4], **asked).astype(int)
    assert np.abs(model.trajectory([3, 1, 4], **asked)[0][-1] - made).max() <= 1


def test_the_same_settings_compile_once(finished, config, compiled_quickly, compiled):
    model, (images, labels) = ddpm_jax.load(finished), two_digits(config)
    known = np.zeros((8, 8), bool)

    def ask(seed):
        """Each call with random numbers and labels of its own."""
        model.sample([seed, 1], steps=2, seed=seed)
        model.trajectory([seed, 1], steps=2, seed=seed)
        model.denoise(images, labels, 0.5, steps=2, seed=seed)
        model.inpaint(images, labels, known, resamples=1, steps=2, seed=seed)
        pairs = (images, labels), (images[::-1], labels)
        model.interpolate(*pairs, (seed / 4, 0.5), steps=2, seed=seed)

    ask(0)
    assert compiled
    compiled.clear()
    ask(1)
    assert not compiled
    model.sample([0, 1], steps=3)
    assert compiled


def two_digits(config):
    images, labels = digits_in_memory(config)
    return images[:2], labels[:2].tolist()


def test_an_image_comes_back_nearer_the_less_it_was_noised(finished, config, compiled_quickly):
    model, (images, labels) = ddpm_jax.load(finished), two_digits(config)
    little, much = (model.denoise(images, labels, start, steps=10) for start in (0.1, 1.0))
    assert little.t < much.t == config.schedule.num_steps
    for name in ("noised", "images"):
        errors = [np.abs(getattr(x, name).astype(int) - images).mean() for x in (little, much)]
        assert errors[0] < errors[1]


def test_what_is_known_stays_and_the_rest_is_painted_anew(finished, config, compiled_quickly):
    model, (images, labels) = ddpm_jax.load(finished), two_digits(config)
    known = np.zeros((8, 8), bool)
    known[:4] = True
    made = model.inpaint(images, labels, known, resamples=1, steps=2)
    np.testing.assert_array_equal(made[:, :4], images[:, :4])
    assert (made[:, 4:] != images[:, 4:]).any()
    each = np.stack([known, ~known])
    made = model.inpaint(images, labels, each, resamples=1, steps=2)
    np.testing.assert_array_equal(made[each], images[each])
    with pytest.raises(ValueError, match=r"known is \(4, 8\); wanted \(8, 8\) or \(2, 8, 8\)"):
        model.inpaint(images, labels, known[:4])


def test_a_row_of_mixes_has_an_image_for_each_weight(finished, config, compiled_quickly):
    model, (images, labels) = ddpm_jax.load(finished), two_digits(config)
    first, second = (images[:1], labels[:1]), (images[1:], labels[1:])
    made = model.interpolate(first, second, [0.0, 0.5, 1.0], start=0.2, steps=10)
    assert made.shape == (1, 3, 8, 8, 1)
    near, far = (np.abs(made[0, i].astype(int) - images[0]).mean() for i in (0, 2))
    assert near < far
    with pytest.raises(ValueError, match="wanted the same shape"):
        model.interpolate(first, (images, labels))


def test_images_without_a_label_are_refused(finished, config):
    images, _ = two_digits(config)
    with pytest.raises(ValueError, match=r"images are \(2, 8, 8, 1\); wanted \(3, 8, 8, 1\)"):
        ddpm_jax.load(finished).denoise(images, [1, 2, 3])


def test_a_grid_has_the_rows_and_columns_of_the_array():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((8, 8, 1), np.uint8)
    picture = ddpm_jax.grid(images)
    assert picture.width > 3 * 64 and picture.width > picture.height > 2 * 64
    assert picture == ddpm_jax.grid(images.reshape(6, 8, 8, 1), columns=3)
    with pytest.raises(ValueError, match="got 1 row labels, wanted 2"):
        ddpm_jax.grid(images, row_labels=["one"])


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


IMAGES, LABELS = np.zeros((6, 8, 8, 1), np.uint8), np.arange(6, dtype=np.int32) % 3


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        (IMAGES / np.float32(255), LABELS, "", r"images are float32 of .*; wanted uint8 \[N, H, W, C\]"),
        (IMAGES[..., 0], LABELS, "", r"images are uint8 of shape \(6, 8, 8\); wanted uint8 \[N, H"),
        (IMAGES[:0], LABELS[:0], "", r"shape \(0, 8, 8, 1\); wanted .*, at least one"),
        (IMAGES[:, :4], LABELS, "", r"images are \(4, 8\); wanted as many rows as columns"),
        (IMAGES.repeat(2, 3), LABELS, "", r"images have 2 channels; wanted 1 \(gray\) or 3"),
        (IMAGES, LABELS[:5], "", r"labels are int32 of shape \(5,\); wanted integers \[6\]"),
        (IMAGES, LABELS[:, None], "", r"labels are int32 of shape \(6, 1\); wanted integers \[6\]"),
        (IMAGES, LABELS + 0.5, "", r"labels are float64 of shape \(6,\); wanted integers \[6\]"),
        (IMAGES, LABELS, "ab", r"labels are from 0 to 2; wanted 0 to 1, for 2 class_names"),
        (IMAGES, LABELS - 1, "abc", r"labels are from -1 to 1; wanted 0 to 2, for 3 class_names"),
        (IMAGES, LABELS * 99, "", r"labels are from 0 to 198; wanted 0 to 2, with no gap, or class_n"),
        (IMAGES, LABELS, ("a", "b", ""), r"class_names has ''; wanted names that can be printed"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused_leave_the_work_directory_as_it_was(
    config, tmp_path, monkeypatch, images, labels, names, message
):
    """Without the checks of types, which a user's program does not have."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        ddpm_jax.train(images, labels, config, tmp_path / "run", names)
    assert not (tmp_path / "run").exists()


def test_a_worth_without_the_baseline_or_an_interval_is_refused(config):
    pair = (IMAGES, LABELS)
    config.classifier.arms = ("synthetic",)
    with pytest.raises(ValueError, match="must hold 'real'"):
        ddpm_jax.worth(pair, pair, pair, config)
    config.classifier.arms, config.classifier.num_seeds = ("real",), 1
    with pytest.raises(
        ValueError, match=r"classifier\.num_seeds is 1; an interval needs at least 2"
    ):
        ddpm_jax.worth(pair, pair, pair, config)


def test_a_budget_is_refused_where_nothing_measures_what_fits_into_it(config, tmp_path):
    config.budget.minutes = 60.0
    with pytest.raises(ValueError, match=r"budget\.minutes is 60; wanted 0"):
        ddpm_jax.train(IMAGES, LABELS, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


@pytest.mark.slow
def test_the_readmes_example_runs_as_it_stands(config, tmp_path, monkeypatch):
    text = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"## In Python\n+```\n(.*?)```", text, re.DOTALL)
    configs = {"digits": config, "classifier": config}
    monkeypatch.setattr(config_files, "get_config", configs.__getitem__)  # shorter
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/digits").symlink_to(tmp_path / "runs/mine")
    (images, labels), (test_images, test_labels) = (
        digits_in_memory(config, split) for split in ("train", "test")
    )
    given = {"images": images, "labels": labels}
    given |= {"test_images": test_images, "test_labels": test_labels}
    exec(code, given)
    assert given["made"].shape == (3, 8, 8, 1)
    noised = jnp.asarray(given["made"] / 127.5 - 1, jnp.float32)
    assert given["denoise"](noised, given["model"].levels[5]).x0.shape == (3, 8, 8, 1)
    assert {"real", "synthetic"} <= set(given["arms"])


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
