"""`data.per_class`: no mode reads a real image beyond the small set, but test images."""

import numpy as np
import pytest
from tiny_run import with_quick_modes
from watched_digits import watch

from ddpm_jax import stages
from ddpm_jax.assembly import datasets
from ddpm_jax.data import source
from ddpm_jax.jobs import (
    analyze,
    classify,
    denoise,
    evaluate,
    export,
    sample,
    sweep,
    train,
    train_guide,
    worth,
)

MODES = (train, sample, export, evaluate, classify, worth, train_guide, denoise, analyze, sweep)
PER_CLASS = 20


@pytest.fixture
def read(monkeypatch):
    """Which training and validation images are read from the digits, by split."""
    seen = watch(monkeypatch, "train", "validation")
    datasets.forget()
    yield seen
    datasets.forget()


def small(config):
    config.data.per_class = PER_CLASS
    config.evaluation.likelihood_images = 0
    return with_quick_modes(config)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_no_mode_reads_another_image(config, tmp_path, read):
    config = small(config)
    splits = datasets.build_splits(config.data, config.seed)
    assert source.class_counts(splits.test).sum() == 359
    allowed = {name: set(rows) for name, rows in read.items()}
    assert sum(map(len, allowed.values())) == PER_CLASS * 10
    labels = np.concatenate([splits.train.labels, splits.validation.labels])
    assert np.bincount(labels).tolist() == [PER_CLASS] * 10
    for job in MODES:
        datasets.forget()  # each mode reads its images itself
        job.run(config, tmp_path)
    assert read == allowed
    assert {stages.of_mode(job.__name__.rpartition(".")[2]) is not None for job in MODES} == {True}


def test_a_negative_number_is_refused(config):
    config.data.per_class = -1
    with pytest.raises(ValueError, match=r"data\.per_class is -1"):
        datasets.build_splits(config.data, config.seed)
