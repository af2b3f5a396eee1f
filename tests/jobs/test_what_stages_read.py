"""What a stage reads decides when it runs again; test images are read only where it measures."""

import functools
import pathlib

import pytest
from reads import Reads
from tiny_run import with_quick_modes

from ddpm_jax import run_files, rundir, stages, view
from ddpm_jax.assembly import datasets
from ddpm_jax.jobs import (
    analyze,
    classify,
    compare,
    copies,
    denoise,
    evaluate,
    export,
    export_weights,
    import_weights,
    inpaint,
    interpolate,
    own,
    plan,
    publish,
    reconstruct,
    replay,
    report,
    sample,
    serve,
    sweep,
    train,
    train_guide,
    worth,
)
from ddpm_jax.training import retention

MEASURE = {"evaluate": evaluate, "classify": classify, "worth": worth, "copies": copies}
"""What is measured on test images. None of them chooses anything by what it finds."""
CHOOSE = {
    "train": train, "sample": sample, "export": export, "sweep": sweep, "denoise": denoise,
    "interpolate": interpolate, "inpaint": inpaint, "reconstruct": reconstruct, "analyze": analyze,
    "train_guide": train_guide, "export_weights": export_weights, "publish": publish,
}  # fmt: skip
OF_OTHER_RUNS = {"own": own}
"""Modes whose stage runs those of other runs, with other fields: see test_own.py."""
STANDS_ALWAYS = {
    "plan": plan, "compare": compare, "report": report, "replay": replay, "import": import_weights,
    "serve": serve,
}  # fmt: skip
"""Modes that are no stages: they are made again each time."""
READS_ONE = {"publish"}
"""Modes that read the format of what they write, and no other field."""
# Grids on the way of a training are not its result, and notes are compared with the config as it is.
READ_UNSEEN = {"train.py", "train_guide.py", "run_files.py", "small_runs.py", "view.py"}


def another(value):
    """A value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    return (*value, 1) if isinstance(value, tuple) else value + 1


def fields_that_matter(stage, config, workdir):
    """Change each field in turn: those for which the stage would run again."""
    found, changed = set(), config.copy_and_resolve_references()
    with pytest.MonkeyPatch.context() as patch, changed.ignore_type():
        # Nothing is written meanwhile.
        patch.setattr(retention, "sound", functools.cache(retention.sound))
        patch.setattr(rundir, "read_json", functools.cache(rundir.read_json))
        for name, value in list(view.leaves(config)):
            to = "3" if name == "sampling.checkpoint" else another(value)
            changed.update_from_flattened_dict({name: to})
            files = run_files.open_for(stage.name, changed, workdir, rundir.synthetic(workdir))
            if next(stages.reasons(files), None):
                found.add(name)
            changed.update_from_flattened_dict({name: value})
    return found


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
def small(config, compiled_quickly):
    config.evaluation.likelihood_images, config.evaluation.likelihood_steps = 4, 2
    return with_quick_modes(config)


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch, view.View)


def test_every_mode_is_of_one_kind():
    kinds = {*MEASURE, *CHOOSE, *OF_OTHER_RUNS, *STANDS_ALWAYS}
    assert {*rundir.CHAIN, *rundir.OTHERS} == kinds


def check_reads(reads, mode, config, workdir):
    """The stage runs again exactly for the fields that it read, but for those that change nothing."""
    stage = stages.of_mode(mode)
    rundir.result_path(workdir, mode).unlink(missing_ok=True)
    with reads.on():
        stage(config, workdir)
    read = set(reads.names)
    assert len(read) > (0 if mode in READS_ONE else 5)  # or it was not looked at
    matter = fields_that_matter(stage, config, workdir)
    # The checkpoint that is drawn from is noted by its content.
    assert matter - {"sampling.checkpoint"} == read - run_files.CHANGE_NOTHING
    assert ("sampling.checkpoint" in matter) == ("sampling.checkpoint" in read)


@pytest.mark.slow
@pytest.mark.parametrize("mode", CHOOSE)
def test_a_stage_that_chooses_or_draws_runs_again_for_what_it_read_and_reads_no_test_image(
    small, finished, reads, without_test_images, mode
):
    check_reads(reads, mode, small, finished)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MEASURE)
def test_a_stage_that_measures_runs_again_for_what_it_read(small, finished, reads, mode):
    check_reads(reads, mode, small, finished)


def test_each_stage_of_the_chain_runs_again_for_each_field_that_it_noted(config, finished):
    fields = {name for name, _ in view.leaves(config)}
    for mode in ("train", "sample", "export", "evaluate", "classify"):
        noted = set(rundir.result(finished, mode)["reads"]["fields"]) & fields
        matter = fields_that_matter(stages.of_mode(mode), config, finished)
        assert matter - {"sampling.checkpoint"} == noted
        assert ("sampling.checkpoint" in matter) == (mode in ("sample", "export"))


def test_few_modules_read_a_config_unseen():
    package = pathlib.Path(stages.__file__).parent
    found = {path.name for path in package.rglob("*.py") if "unseen(" in path.read_text()}
    assert found == READ_UNSEEN


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
