"""Array types that several islands use. Axes: B H W C for images, N D for features."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

Images = Float[Array, "B H W C"]
"""Images as a network sees them, in [-1, 1]."""

Pixels = UInt8[np.ndarray, "N H W C"]
"""Images as files and people see them, 0 to 255."""

Labels = Int[Array, "B"]
"""Class indices, 0 to K-1; K, one past the last, is the null class."""

Keys = Key[Array, "B"]
"""One PRNG key per image, so that image i does not depend on the batch it is drawn in."""

Params = Mapping[str, Any]
"""Parameters: arrays by name, nested, as Flax's `init` returns them; or their shapes."""

Batch = Mapping[str, Array]
"""`image` uint8 [B, H, W, C] and `label` int32 [B], as they come from disk."""

Scalars = dict[str, Float[Array, ""]]

LossFn = Callable[[Params, Batch, Key[Array, ""]], tuple[Float[Array, ""], Scalars]]
"""`loss_fn(params, batch, key) -> (loss, metrics)`: all that the training island knows about a model."""


class Trainer(NamedTuple):
    """Trains classifiers on arrays: all arms of a study share the compiled programs.

    There is one for each kind of training that is used: with or without augmentation, and of labels that are
    classes or probabilities.

    `fit(images, labels, seeds, num_steps=None, *, augmented=False) -> params` with a leading axis for the
    seeds; labels are classes, int32 [N], or probabilities of classes, float32 [N, K]; a smaller `num_steps`
    than the section's stops it early; with `augmented`, each batch is augmented, or those of its images that
    `augmented`, bool [N], says;
    `predict(params, images) -> probabilities [S, N, K]`; `features(params, images) -> [S, N, D]`.
    """

    fit: Callable[..., Params]
    predict: Callable[[Params, Pixels], Float[np.ndarray, "S N K"]]
    features: Callable[[Params, Pixels], Float[np.ndarray, "S N D"]]
