"""Which real images the images of a synthetic set start from."""

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from ddpm_jax.assembly import datasets
from ddpm_jax.data import division, source
from ddpm_jax.models import trained


def choose(
    config: ConfigDict, model: trained.Model, labels: Int[np.ndarray, " N"]
) -> trained.Starts | None:
    """A training image of the label's class for each image; None if sampling starts from noise.

    Raises ValueError if the model knows no labels, was imported, or was trained on other images than there
    are now.
    """
    share = config.export.start
    if not 0.0 < share <= 1.0:
        raise ValueError(f"export.start is {share:g}; it must be above 0 and at most 1")
    if share == 1.0:
        return None
    if not model.knows_labels:
        raise ValueError(
            f"export.start is {share:g}, and the model is unconditional (net.class_conditional=False) with "
            f"{len(model.class_names)} classes: its images have no class whose real images they could "
            "start from; set export.start=1"
        )
    trained_on = model.facts["extra"].get("data_sha256")
    if trained_on is None:
        raise ValueError(
            f"export.start is {share:g}, and an imported run does not know which images it was trained on; "
            "set export.start=1"
        )
    train = datasets.build_splits(config.data, config.seed).train
    found = source.fingerprint(train)
    if found != trained_on:
        raise ValueError(
            f"export.start is {share:g}, and the training images are not those of the training: SHA-256 "
            f"was {trained_on}, is {found}; bring them back, or set export.start=1"
        )
    return trained.Starts(share, train, rows(labels, train.labels, config.seed))


def rows(
    labels: Int[np.ndarray, " N"], real: Int[np.ndarray, " M"], seed: int
) -> Int[np.ndarray, " N"]:
    """For each label, the index of a real image of its class.

    Those of a class take turns in a random order, so the uses of any two differ by at most one. Row i
    depends on the seed and the labels up to i. Raises ValueError if a class has no real image.
    """
    shuffled = division.permutation(len(real), np.random.SeedSequence(seed, spawn_key=(0, 2)))
    found = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members, wanted = shuffled[real[shuffled] == label], np.flatnonzero(labels == label)
        if not len(members):
            raise ValueError(
                f"class {label} has no training image to start from; set export.start=1"
            )
        found[wanted] = np.resize(members, len(wanted))
    return found
