"""What a stage reads: only fields that its inputs hold, and test images only where it measures."""

import contextlib
import inspect

import pytest
from ml_collections import ConfigDict

from ddpm_jax import main, rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.jobs import (
    analyze,
    classify,
    compare,
    denoise,
    evaluate,
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
    worth,
)

MEASURE = {"evaluate": evaluate, "classify": classify, "worth": worth}
"""What is measured on test images. None of them chooses anything by what it finds."""
CHOOSE = {
    "train": train, "sample": sample, "export": export, "sweep": sweep, "denoise": denoise,
    "interpolate": interpolate, "inpaint": inpaint, "reconstruct": reconstruct, "analyze": analyze,
    "train_classifier": train_classifier,
}  # fmt: skip
STANDS_ALWAYS = {"plan": plan, "compare": compare, "report": report, "replay": replay}
"""Modes that are no stages: they are made anew each time."""
# How a result is made, not what comes out; the checkpoint is among the inputs as the step it names.
CHANGE_NOTHING = rundir.FREE | {
    "classifier.vmap_seeds",
    "evaluation.cache_dir",
    "sampling.batch_size",
    "sampling.checkpoint",
}
PICTURES_OF_TRAINING = "sampling."  # grids on the way, which no number depends on


class Reads:
    """Dotted names of the fields that are read while `recording`."""

    def __init__(self, monkeypatch):
        self.names, self.recording = set(), False
        self._paths, self._alive = {}, []
        get, copy = ConfigDict.__getitem__, ConfigDict.copy_and_resolve_references

        def watched_get(config, key):
            value = get(config, key)
            path = (*self._paths.get(id(config), ()), key)
            if isinstance(value, ConfigDict):
                self._remember(value, path)
            elif self.recording and inspect.stack()[1].function not in ("to_dict", "items"):
                self.names.add(".".join(path))
            return value

        def watched_copy(config, visit_map=None):
            made = copy(config, visit_map)
            self._remember(made, self._paths.get(id(config), ()))
            return made

        monkeypatch.setattr(ConfigDict, "__getitem__", watched_get)
        monkeypatch.setattr(ConfigDict, "copy_and_resolve_references", watched_copy)

    def _remember(self, config, path):
        self._paths[id(config)] = path
        self._alive.append(config)  # so that no other object gets its id

    @contextlib.contextmanager
    def on(self):
        self.names, self.recording = set(), True
        yield
        self.recording = False


def names_in(inputs, path=()):
    """Every tail of the dotted names in the inputs: what stands under "model" is named as in the config."""
    for name, value in inputs.items():
        at = (*path, name)
        if isinstance(value, dict):
            yield from names_in(value, at)
        yield from (".".join(at[i:]) for i in range(len(at)))


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
    config.evaluation.likelihood_images, config.evaluation.likelihood_steps = 4, 2
    config.sweep.samplers, config.sweep.guidance_scales = ("ddim:2",), (1.0,)
    config.sweep.num_images, config.sweep.num_seeds = 20, 2
    config.worth.sizes, config.worth.multiples, config.worth.num_seeds = (10,), (1,), 2
    config.worth.num_steps, config.guide.num_steps, config.editing.num_images = 4, 2, 2
    config.editing.starts = (0.5,)
    return config


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch)


def test_every_mode_is_of_one_kind():
    assert {*main.CHAIN, *main.OTHERS} == {*MEASURE, *CHOOSE, *STANDS_ALWAYS}


def inputs_that_lack_fields(monkeypatch, reads, but_for=""):
    """A list that is filled, as stages run, with fields that they read and their inputs lack."""
    missing, stage = [], rundir.stage

    def watched(workdir, mode, inputs, run, *arguments, **options):
        def recorded():
            with reads.on():
                return run()

        rundir.result_path(workdir, mode).unlink(missing_ok=True)
        found = stage(workdir, mode, inputs, recorded, *arguments, **options)
        assert len(reads.names) > 5  # or it was not looked at
        read = {
            name for name in reads.names - CHANGE_NOTHING if not name.startswith(but_for or " ")
        }
        missing.extend(sorted(read - set(names_in(inputs))))
        return found

    monkeypatch.setattr(rundir, "stage", watched)
    return missing


@pytest.mark.slow
@pytest.mark.parametrize("mode", CHOOSE)
def test_a_stage_that_chooses_or_draws_lists_its_fields_and_reads_no_test_image(
    small, finished, monkeypatch, reads, without_test_images, mode
):
    but_for = PICTURES_OF_TRAINING if mode == "train" else ""
    missing = inputs_that_lack_fields(monkeypatch, reads, but_for)
    CHOOSE[mode].run(small, finished)
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("mode", MEASURE)
def test_a_stage_that_measures_lists_its_fields(small, finished, monkeypatch, reads, mode):
    missing = inputs_that_lack_fields(monkeypatch, reads)
    MEASURE[mode].run(small, finished)
    assert not missing


@pytest.mark.slow
def test_modes_that_are_no_stages_read_no_test_image(small, finished, without_test_images):
    for mode in ("plan", "compare", "report"):
        STANDS_ALWAYS[mode].run(small, finished)
    with pytest.raises(FileNotFoundError, match="nothing to replay"):
        replay.run(small, finished)


def test_the_guard_sees_a_test_image_that_is_read(small, finished, without_test_images):
    small.editing.split = "test"
    with pytest.raises(Read):
        denoise.run(small, finished)


@pytest.mark.slow
def test_a_sweep_reads_test_images_only_when_asked_to(small, finished, without_test_images):
    small.sweep.split = "test"
    with pytest.raises(Read):
        sweep.run(small, finished)
