"""Sources whose image i says that it is image i."""

import numpy as np

from ddpm_jax.data import source as sources


def numbered(labels, class_names=("a", "b", "c"), *, decoded=False):
    """Image i is one pixel, (i // 256, i % 256, 0)."""
    labels = np.asarray(labels, np.int32)
    i = np.arange(len(labels))
    images = np.stack([i // 256, i % 256, 0 * i], -1).astype(np.uint8)[:, None, None, :]
    whole = sources.from_arrays(images, labels, class_names, "numbered")
    return whole if decoded else whole._replace(images=None)


def numbers(source):
    images = sources.decode(source).astype(int)[:, 0, 0]
    return images[:, 0] * 256 + images[:, 1]
