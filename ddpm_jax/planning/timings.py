"""Seconds that the parts of a run take, measured on a few of each."""

import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax.assembly import choice, classifiers, feature_networks, training
from ddpm_jax.data import source
from ddpm_jax.models import in_training
from ddpm_jax.planning import requirements
from ddpm_jax.training import checkpoints, devices, loop
from ddpm_jax.training import state as states
from ddpm_jax.types import Params

WARM_UP = 1
"""Steps that are not counted, because the first one waits for memory."""
FEWEST_SOLVER_STEPS = 4
CALLS = 3
CLASSIFIER_STEPS = 4
"""Steps of the shorter of two trainings whose difference is timed."""


class Drawing(NamedTuple):
    """Seconds of a batch, and the additional seconds of a process's first batch."""

    each: float
    warm_up: float


class Classifier(NamedTuple):
    """Seconds to begin a training, for each step, and for each image's features."""

    begin: float
    step: float
    image: float
    num_features: int


def step_seconds(
    config: ConfigDict, parts: training.Parts, step: Any, begin: states.TrainState, seconds: float
) -> tuple[float, states.TrainState]:
    """Median seconds of a step on real batches, and the state after the last. Takes about `seconds`."""
    steps_in = in_training.steps_in(parts.placement)
    asked: list[float] = []
    num: list[int] = []
    """Steps of the call that each batch is for."""

    def stamped(batches: Iterable[Any]) -> Iterable[Any]:
        for batch in batches:
            asked.append(time.perf_counter())
            num.append(steps_in(batch))
            yield batch

    # The first calls only queue their steps; after that, a batch is asked for when a step is done.
    first = WARM_UP + loop.IN_FLIGHT + 1
    at = int(begin.step)
    end = loop.run(
        step,
        jax.tree.map(jnp.copy, begin),  # the step donates what it is given
        stamped(in_training.batches(config, parts, at)),
        key=choice.key_for(config.seed, "train"),
        num_steps=config.training.num_steps + (first + 1) * config.training.steps_per_call,
        log_every=config.training.log_every,
        on_log=lambda done, values: None,
        stop=lambda: len(asked) > first + 1 and asked[-1] - asked[0] > seconds,
        num_in=steps_in,
    )
    # Each batch waited for the call that left the queue to make room for it.
    waited = [b - a for a, b in itertools.pairwise(asked[first:])]
    done = num[first - loop.IN_FLIGHT :]
    return statistics.median(t / n for t, n in zip(waited, done, strict=False)), end


def evaluation_seconds(
    config: ConfigDict, parts: training.Parts, state: states.TrainState
) -> float:
    """Seconds of one validation, extrapolated from a batch of it."""
    whole = in_training.validation_images(config, parts)
    if not whole:
        return 0.0
    return call_seconds(config, parts, state.ema_params) * whole * (1 + len(state.averages))


def call_seconds(config: ConfigDict, parts: training.Parts, params: Params) -> float:
    """Seconds of one network call for an image: the least of several validations of one batch.

    The program is that of the training's validations. Raises ValueError without validation images.
    """
    few = config.copy_and_resolve_references()
    whole = in_training.validation_images(config, parts)
    few.training.eval_images = min(whole, config.training.batch_size)
    taken = []
    for _ in range(1 + CALLS):  # the first one compiles
        began = time.perf_counter()
        in_training.validation_loss(few, parts, params)
        taken.append(time.perf_counter() - began)
    return min(taken[1:]) / few.training.eval_images


def checkpoint_seconds(folder: pathlib.Path, state: states.TrainState) -> tuple[float, float]:
    """Seconds to write a checkpoint beside those of the run, and to read its averaged weights; removes it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=folder) as beside:
        began = time.perf_counter()
        with checkpoints.saver(beside, keep=1) as save:
            save(state)
        saved = time.perf_counter()
        target = devices.abstract(devices.place(), state.ema_params)
        jax.block_until_ready(checkpoints.restore_params(beside, target))
        return saved - began, time.perf_counter() - saved


def drawing_seconds(
    config: ConfigDict,
    parts: training.Parts,
    sampling: requirements.Compiled,
    num: int,
    gflop_per_second: float,
    seconds: float,
) -> Drawing:
    """Seconds of `num` images drawn at once; times fewer solver steps if all would take over `seconds`."""
    weights = requirements.sampled_weights(config, parts.programs)
    given = (devices.replicate(devices.place(), weights), choice.key_for(config.seed, "plan"))
    # XLA counts the body of the loop over the steps once.
    expected = sampling.takes.gflop / gflop_per_second * config.sampling.num_steps
    timed = min(
        config.sampling.num_steps,
        max(FEWEST_SOLVER_STEPS, int(config.sampling.num_steps * seconds / max(expected, 1e-9))),
    )
    program = sampling.program
    if timed < config.sampling.num_steps:
        few = config.copy_and_resolve_references()
        few.sampling.num_steps = timed
        program = requirements.compile_sampling(few, parts.programs, num).program
    rows = np.arange(num, dtype=np.int32)
    batch = {"index": rows, "label": rows % parts.programs.num_classes}
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        devices.gather(program(given, devices.put_batch(devices.place(), batch)))
        taken.append(time.perf_counter() - began)
    each = min(taken)
    return Drawing(each * config.sampling.num_steps / timed, taken[0] - each)


def classifier_seconds(config: ConfigDict, train: source.Source, seconds: float) -> Classifier:
    """Seconds of the classifier section's trainings, from two short ones on `train`'s first images.

    If an arm augments in the training, these do too: then those of the other arms take less.
    """
    some = source.take(train, range(min(len(train.labels), 4 * config.classifier.batch_size)))
    images = source.decode(some)
    num_classes, group = len(train.class_names), config.classifier.num_seeds
    seeds = list(range(group if config.classifier.vmap_seeds else 1))
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, images.shape[1:], num_classes
    )
    augmented = classifiers.any_arm(config.classifier, ", augmented", ", real augmented")

    def fit(num_steps: int) -> tuple[float, Any]:
        began = time.perf_counter()
        params = trainer.fit(images, some.labels, seeds, num_steps, augmented=augmented)
        jax.block_until_ready(params)
        return time.perf_counter() - began, params

    fit(1)  # compiles
    short, _ = fit(CLASSIFIER_STEPS)
    num_steps = min(500, max(2 * CLASSIFIER_STEPS, int(CLASSIFIER_STEPS * seconds / short)))
    long, params = fit(num_steps)
    step = max(0.0, long - short) / (num_steps - CLASSIFIER_STEPS)
    trainer.features(params, images)  # compiles
    began = time.perf_counter()
    features = trainer.features(params, images)[0]
    image = (time.perf_counter() - began) / (-(-len(images) // 512) * 512)
    return Classifier(max(0.0, short - CLASSIFIER_STEPS * step), step, image, features.shape[1])


def feature_seconds(
    config: ConfigDict, train: source.Source, image_shape: tuple[int, int, int]
) -> tuple[float, int]:
    """Seconds of one image's features by the network or function that is named, and their number."""
    network = feature_networks.build_network(config, train, image_shape)
    images = np.zeros((network.batch_size, *image_shape), np.uint8)
    network.features(images)  # compiles
    began = time.perf_counter()
    features = np.asarray(network.features(images))
    return (time.perf_counter() - began) / len(images), features.shape[1]
