"""`python -m ddpm_jax.classify` on folders that another program has made: the numbers are the chain's."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from quick import plainly
from tiny_run import ROOT, environment

from configs import classifier
from ddpm_jax import classify as judge
from ddpm_jax import rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import classify, evaluate

FEW = (
    "--config.classifier.num_steps=6",
    "--config.classifier.warmup_steps=2",
    "--config.classifier.num_seeds=2",
    "--config.data.image_size=8",
    "--config.data.channels=1",
)


def write_folder(folder, images, labels, class_names):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / class_names[label] / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path)


def judge_by(*flags):
    command = [sys.executable, "-m", "ddpm_jax.classify", *flags]
    return subprocess.run(command, env=environment(4), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def folders(config, finished, tmp_path):
    """Real digits, divided into train/ and test/, and the digits that a generator has made of them."""
    splits = datasets.build_splits(config.data, config.seed)
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        write_folder(tmp_path / "real" / name, source.decode(part), part.labels, part.class_names)
    made = npz.load(finished / "synthetic.npz")
    write_folder(tmp_path / "made", source.decode(made), made.labels, made.class_names)
    return tmp_path / "real", tmp_path / "made"


@pytest.mark.parametrize(
    ("shape", "labels", "names", "wanted"),
    [
        ((8, 8, 1), [0, 1], "01", None),
        ((16, 8, 3), [0, 1], "01",
         r"made.npz holds images of 16x8 pixels and 3 channels, wanted 8x8 pixels and 1 channel"),
        ((8, 8, 1), None, "", r"made.npz has no labels"),
        ((8, 8, 1), [0, 1], "1x", r"made.npz holds classes x, which the real images do not have"),
    ],
)  # fmt: skip
def test_what_no_classifier_can_be_trained_on_is_refused_first(
    shape, labels, names, wanted, tmp_path
):
    config = classifier.get_config()
    config.data.image_size, config.data.channels = 8, 1
    synthetic = tmp_path / "made.npz"
    label = labels and np.array(labels, np.int32)
    npz.save(synthetic, np.zeros((2, *shape), np.uint8), label, tuple(names), {})
    if wanted is None:
        judge.check(config, synthetic)
        return
    with pytest.raises(ValueError, match=wanted):
        judge.check(config, synthetic)


@pytest.mark.parametrize(
    ("source_name", "given", "refused"),
    [
        ("folder:photos", (), True),
        ("tfds:cifar10", ("data.channels",), True),
        ("folder:photos", ("data.image_size",), False),
        ("digits", (), False),
    ],
)
def test_images_are_not_compared_at_the_size_of_digits_unasked(source_name, given, refused):
    data = classifier.get_config().data
    data.source = source_name
    if not refused:
        judge.require_size(data, given)
        return
    with pytest.raises(ValueError, match="would be compared at 8x8 pixels; give --config"):
        judge.require_size(data, given)


@pytest.mark.slow
def test_an_unlabelled_set_ends_before_anything_is_measured(folders, tmp_path):
    real, _ = folders
    synthetic = tmp_path / "made.npz"
    npz.save(synthetic, np.zeros((20, 8, 8, 1), np.uint8), None, (), {})
    workdir = tmp_path / "judged"
    found = judge_by(
        f"--real=folder:{real}", f"--synthetic={synthetic}", f"--workdir={workdir}", *FEW
    )
    assert found.returncode == 2 and "has no labels" in found.stderr
    assert not (workdir / "results").exists()


@pytest.mark.slow
def test_two_folders_are_judged_as_the_chain_judges_the_same_images(
    folders, config, finished, tmp_path
):
    real, made = folders
    workdir = tmp_path / "judged"
    flags = (f"--real=folder:{real}", f"--synthetic=folder:{made}", f"--workdir={workdir}", *FEW)
    found = judge_by(*flags)
    assert found.returncode == 0, found.stderr
    judged = {mode: rundir.result(workdir, mode) for mode in ("evaluate", "classify")}

    config.data.source = f"folder:{real}"
    config.evaluation.likelihood_images = 0
    synthetic = workdir / "judged.npz"
    with plainly():
        chain = {
            "evaluate": evaluate.run.on(config, finished, synthetic),
            "classify": classify.run.on(config, finished, synthetic),
        }
    for mode, wanted in chain.items():
        ours = {"command", "seconds", "versions", "inputs", "outputs", "reads", "synthetic"}
        for name in wanted.keys() - ours:
            assert judged[mode][name] == rundir.plain(wanted[name]), (mode, name)

    page = (workdir / "report.html").read_text()
    assert "Does it copy?" in page and "What it is worth to a classifier" in page
    assert "Not made yet" not in page
    again = judge_by(*flags)
    assert "[evaluate] up to date" in again.stdout and "[classify] up to date" in again.stdout


@pytest.mark.slow
def test_a_set_that_is_not_there_is_refused_in_one_line(folders, tmp_path):
    real, _ = folders
    flags = (f"--real=folder:{real}", f"--workdir={tmp_path / 'judged'}", *FEW)
    for name, wanted in (("folder:nowhere", "nowhere"), ("nowhere.npz", "nowhere.npz")):
        found = judge_by(f"--synthetic={name}", *flags)
        assert found.returncode == 2 and wanted in found.stderr, found.stderr
        assert "Traceback" not in found.stderr
