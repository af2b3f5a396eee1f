"""A stage's result depends on the fields that the stage read: all of them are among its inputs."""

import contextlib
import inspect

import pytest
from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.jobs import (
    analyze,
    classify,
    denoise,
    evaluate,
    export,
    inpaint,
    interpolate,
    reconstruct,
    sample,
    sweep,
    train,
    train_classifier,
    worth,
)

JOBS = (
    train, sample, export, evaluate, classify, worth, sweep, denoise, interpolate, inpaint,
    reconstruct, analyze, train_classifier,
)  # fmt: skip
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


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__.rpartition(".")[2])
def test_a_stage_lists_every_field_that_it_read(config, finished, monkeypatch, reads, job):
    config.evaluation.likelihood_images, config.evaluation.likelihood_steps = 4, 2
    config.sweep.samplers, config.sweep.guidance_scales = ("ddim:2",), (1.0,)
    config.sweep.num_images, config.sweep.num_seeds = 20, 2
    config.worth.sizes, config.worth.multiples, config.worth.num_seeds = (10,), (1,), 2
    config.worth.num_steps, config.guide.num_steps, config.editing.num_images = 4, 2, 2
    config.editing.starts = (0.5,)
    missing = []
    stage = rundir.stage

    def watched(workdir, mode, inputs, run, *arguments, **options):
        def recorded():
            with reads.on():
                return run()

        rundir.result_path(workdir, mode).unlink(missing_ok=True)
        found = stage(workdir, mode, inputs, recorded, *arguments, **options)
        read = reads.names - CHANGE_NOTHING
        if job is train:
            read = {name for name in read if not name.startswith(PICTURES_OF_TRAINING)}
        missing.extend(sorted(read - set(names_in(inputs))))
        assert len(reads.names) > 5  # or it was not looked at
        return found

    monkeypatch.setattr(rundir, "stage", watched)
    job.run(config, finished)
    assert not missing
