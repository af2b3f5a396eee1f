"""Which labels a synthetic set has."""

import numpy as np
from jaxtyping import Int32
from ml_collections import ConfigDict

from ddpm_jax.models import trained


def choose(config: ConfigDict, model: trained.Model) -> Int32[np.ndarray, " N"]:
    """The labels to draw: the classes in turn. An unconditional model of several classes ignores them.

    Raises ValueError if the counts do not fit the classes, if the model knows no labels, or if no number is
    given and the model was imported.
    """
    counts, num_classes = config.export.class_counts, len(model.class_names)
    if counts and not model.knows_labels:
        raise ValueError(
            f"export.class_counts is {tuple(counts)}, and the model is unconditional "
            f"(net.class_conditional=False) with {num_classes} classes: it cannot draw a class; set "
            "export.num_images instead"
        )
    if not counts:
        num = config.export.num_images or model.facts["extra"].get("num_images")
        if num is None:
            raise ValueError(
                "export.num_images is 0, as many as the training images, and an imported run does not know "
                "how many images it was trained on; set export.num_images"
            )
        return (np.arange(num) % num_classes).astype(np.int32)
    if len(counts) != num_classes or min(counts) < 0 or sum(counts) == 0:
        raise ValueError(
            f"export.class_counts is {tuple(counts)}, wanted {num_classes} counts that are not all 0"
        )
    turns = np.concatenate([np.arange(count) for count in counts])
    classes = np.repeat(np.arange(num_classes), counts)
    return classes[np.lexsort((classes, turns))].astype(np.int32)
