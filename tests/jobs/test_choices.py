"""Test images are for the final measurement: no mode that trains, draws or chooses reads one."""

import pytest

from ddpm_jax import main
from ddpm_jax.assembly import datasets
from ddpm_jax.jobs import (
    analyze,
    compare,
    denoise,
    export,
    inpaint,
    interpolate,
    plan,
    reconstruct,
    replay,
    report,
    sample,
    sweep,
    train,
    train_classifier,
)

MEASURE = {"evaluate", "classify", "worth"}
"""What is measured on test images. None of them chooses anything by what it finds."""
CHOOSE = {
    "train": train, "sample": sample, "export": export, "compare": compare, "report": report,
    "plan": plan, "denoise": denoise, "interpolate": interpolate, "inpaint": inpaint,
    "reconstruct": reconstruct, "analyze": analyze, "sweep": sweep,
    "train_classifier": train_classifier, "replay": replay,
}  # fmt: skip


class Read(Exception):
    """A test image was read."""


def guarded(split):
    """The split with its labels, which say how many images there are, and without an image to read."""

    def read(i):
        raise Read(f"test image {i}")

    return split._replace(read=read, images=None)


@pytest.fixture
def without_test_images(monkeypatch):
    build = datasets.build_splits

    def build_guarded(config, seed):
        splits = build(config, seed)
        return splits._replace(test=guarded(splits.test))

    monkeypatch.setattr(datasets, "build_splits", build_guarded)


@pytest.fixture
def small(config):
    config.training.num_steps = 6
    config.sweep.samplers, config.sweep.guidance_scales = ("ddim:2",), (1.0,)
    config.sweep.num_images, config.sweep.num_seeds = 20, 2
    config.guide.num_steps, config.editing.num_images = 2, 2
    config.editing.starts = (0.5,)
    return config


def test_every_mode_is_one_of_the_two_kinds():
    assert {*main.CHAIN, *main.OTHERS} == MEASURE | set(CHOOSE)


@pytest.mark.slow
@pytest.mark.parametrize("mode", CHOOSE)
def test_a_mode_that_chooses_or_draws_reads_no_test_image(
    small, finished, mode, without_test_images
):
    for result in (finished / "results").glob(f"{mode}.json"):
        result.unlink()
    if mode == "replay":
        with pytest.raises(FileNotFoundError, match="nothing to replay"):
            replay.run(small, finished)
    else:
        CHOOSE[mode].run(small, finished)


def test_the_guard_sees_a_test_image_that_is_read(small, finished, without_test_images):
    small.editing.split = "test"
    with pytest.raises(Read):
        denoise.run(small, finished)


@pytest.mark.slow
def test_a_sweep_reads_test_images_only_when_asked_to(small, finished, without_test_images):
    small.sweep.split = "test"
    with pytest.raises(Read):
        sweep.run(small, finished)
