"""The network whose features compare images: FID's Inception, a user's function, or our own classifier."""

import functools
import hashlib
import importlib.util
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from ddpm_jax.assembly import classifiers
from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import source
from ddpm_jax.evaluation import inception, inception_weights
from ddpm_jax.evaluation.features import Network
from ddpm_jax.training import devices, fingerprint
from ddpm_jax.types import Pixels

INCEPTION_BATCH = 64  # its first layers take 20 MiB per image
FUNCTION_BATCH = 256  # most images in one call of a user's function


def build_network(
    config: ConfigDict,
    train: source.Source,
    image_shape: tuple[int, int, int],
    *,
    read: Callable[[str], str] = str,
) -> Network:
    """The network that the evaluation section names; raises ValueError if it names two.

    A file that it comes from is first given to `read`, so that a stage notes it (`Files.read`).
    """
    weights, function = named(config)
    if weights:
        return inception_2015(read(weights))
    if function:
        return named_function(function, image_shape, read)
    return own_classifier(config, train)


def check(config: ConfigDict) -> None:
    """Raises what --mode=evaluate could not measure by, without reading it; a chain asks before it trains.

    ValueError if the reference is not known, if two networks are named or if a function's package is not
    there; FileNotFoundError if there are no such weights.
    """
    choose("evaluation.reference", config.evaluation.reference, source.REFERENCES)
    weights, function = named(config)
    if weights and not pathlib.Path(weights).exists():
        raise FileNotFoundError(
            f"evaluation.inception_weights is {weights!r}, which does not exist"
        )
    package = function.partition(":")[0].partition(".")[0]
    if package and importlib.util.find_spec(package) is None:
        raise ValueError(f"evaluation.features is {function!r}; there is no package {package}")


def named(config: ConfigDict) -> tuple[str, str]:
    """Weights of Inception and a function, at least one of them empty; raises ValueError if none is."""
    weights, function = config.evaluation.inception_weights, config.evaluation.features
    if weights and function:
        raise ValueError(
            f"evaluation.inception_weights is {weights!r} and evaluation.features is {function!r}; "
            "name one of them"
        )
    return weights, function


def inception_2015(path: str) -> Network:
    """Inception with the preprocessing of the original TensorFlow graph, which the papers used."""
    weights = inception_weights.load(path)
    net = inception.Inception()

    def apply(params: Any, rows: Any) -> Any:
        return net.apply({"params": params}, inception.preprocess_tensorflow(rows["image"]))

    run = classifiers.over_batches(devices.place(), apply, INCEPTION_BATCH)
    return Network(
        "inception2015" if weights.official else "inception_unofficial",
        hashlib.sha256(f"{weights.sha256} tensorflow".encode()).hexdigest(),
        f"Inception of 2015, weights {weights.sha256[:8]}..., TensorFlow's preprocessing",
        functools.partial(run, weights.params),
        lambda images, features: inception_weights.probabilities(features, weights),
        INCEPTION_BATCH,
        official=weights.official,
    )


def named_function(
    where: str, image_shape: tuple[int, int, int], read: Callable[[str], str] = str
) -> Network:
    """The function `package.module:function`, from uint8 [B, H, W, C] to [B, D] with independent rows.

    Its output for fixed noise identifies it, so that other weights count as another network. `read` is given
    the module's file.
    """
    module, _, name = where.partition(":")
    if not module or not name:
        raise ValueError(f"evaluation.features is {where!r}, wanted 'package.module:function'")
    found = importlib.import_module(module)
    function = getattr(found, name, None)
    if function is None:
        raise ValueError(f"evaluation.features is {where!r}; {module} has no {name}")
    if file := getattr(found, "__file__", None):  # a module may have been made without one
        read(file)
    probe = np.random.default_rng(0).integers(0, 256, (8, *image_shape), np.uint8)
    made = np.asarray(function(probe), np.float32)
    if made.ndim != 2 or len(made) != len(probe):
        raise ValueError(f"{where} gave {made.shape} for {probe.shape}, wanted ({len(probe)}, D)")
    digest = hashlib.sha256(f"{where} {made.shape}".encode() + made.tobytes()).hexdigest()

    def features(images: Pixels) -> Float[np.ndarray, "B D"]:
        batches = range(0, len(images), FUNCTION_BATCH)
        made = [np.asarray(function(images[i : i + FUNCTION_BATCH]), np.float32) for i in batches]
        return np.concatenate(made)

    return Network(name, digest, f"the function {where}", features, None, FUNCTION_BATCH)


def own_classifier(config: ConfigDict, train: source.Source) -> Network:
    """The classifier of this project, trained on the real training split.

    With one class there is nothing to learn: the features are a random network's, and are named so.
    """
    if len(train.class_names) == 1:
        return random_classifier(config, train)
    images = source.decode(train)
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, images.shape[1:], len(train.class_names)
    )
    params = jax.block_until_ready(trainer.fit(images, train.labels, [0]))
    return Network(
        config.classifier.net,
        fingerprint.sha256(params),
        f"{config.classifier.net}, this project's classifier, trained on the train split of "
        f"{train.name}",
        lambda images: trainer.features(params, images)[0],
        lambda images, features: trainer.predict(params, images)[0],
        512,
    )


def random_classifier(config: ConfigDict, train: source.Source) -> Network:
    """The same network as initialized; warns on stderr that it has learned nothing."""
    images = source.decode(source.take(train, range(1)))
    trainer = classifiers.build_trainer(config.classifier, config.seed, images.shape[1:], 1)
    # One step, without a gradient: the probability of the only class is always 1.
    params = jax.block_until_ready(trainer.fit(images, train.labels[:1], [0], 1))
    about = (
        f"{config.classifier.net} with random weights, because {train.name} has one class, from which a "
        "classifier learns nothing"
    )
    if devices.is_writer():
        print(
            f"warning: distances are on the features of {about}; evaluation.inception_weights or "
            "evaluation.features name a network that has learned something",
            file=sys.stderr,
            flush=True,
        )
    return Network(
        f"random_{config.classifier.net}",
        fingerprint.sha256(params),
        about,
        lambda images: trainer.features(params, images)[0],
        None,
        512,
    )
