"""Images to features, in batches, with the finished part cached on disk.

The key of a cached file is a digest of what it was computed from: the pixels themselves and the
network. A changed data set, split, preprocessing or network is therefore never mistaken for an
older one; there is nothing to invalidate.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ddpm_jax.evaluation.frechet import Moments, moments
from ddpm_jax.types import Pixels
from ddpm_jax.whole_file import replacing

Extractor = Callable[[Pixels], Float[np.ndarray, "B D"]]
"""Features of one batch; its maker compiles it. Always called with the same batch size."""
Probabilities = Callable[[Pixels, Float[np.ndarray, "N D"]], Float[np.ndarray, "N K"]]

SHARD = 1000  # images per file; fixed, so that files fit any batch size of the next run


class Network(NamedTuple):
    """The network that images are compared by.

    `features` takes any number of images and passes them on in batches of `batch_size`.
    `probabilities(images, features)`, for the Inception Score, is None where there are none.
    """

    name: str
    digest: str
    about: str
    features: Extractor
    probabilities: Probabilities | None
    batch_size: int
    official: bool = False
    """Whether its distances may be called FID and KID."""


def digest(images: Pixels) -> str:
    """SHA-256 of the pixels and their shape."""
    return hashlib.sha256(
        f"{images.shape}".encode() + np.ascontiguousarray(images).data
    ).hexdigest()


def extract(
    network: Extractor,
    images: Pixels,
    *,
    batch_size: int,
    folder: Path | None = None,
    network_digest: str = "",
    write: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Float[np.ndarray, "N D"]:
    """Features of all images; with a `folder`, those of an interrupted run are reused.

    `network_digest` must differ for any two networks whose features share a folder. `write` is false in
    processes of a run that leave writing to another one. `progress` is called with the number of images
    done and the total.
    """
    if len(images) == 0:
        raise ValueError("there are no images to take features of")
    if folder is not None:
        folder = folder / _key(images, network_digest)
    shards = []
    for start in range(0, len(images), SHARD):
        part = images[start : start + SHARD]
        path = None if folder is None else folder / f"{start:08d}.npy"
        if path is not None and path.exists():
            shards.append(_load(path, len(part)))
        else:
            shards.append(_run(network, part, batch_size, start, len(images), progress))
            if path is not None and write:
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, shards[-1])
        progress(start + len(part), len(images))
    return np.concatenate(shards)


def reference_moments(
    features: Callable[[], Float[np.ndarray, "N D"]],
    images: Pixels,
    *,
    folder: Path,
    network_digest: str,
    write: bool = True,
) -> Moments:
    """Moments of the features of reference images; `features` is called only if none are cached."""
    path = folder / f"{_key(images, network_digest)}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as kept:
            if "factor" in kept:  # earlier versions kept the covariance: recompute
                return Moments(kept["mean"], kept["factor"], int(kept["num_images"]))
    made = moments(features())
    if write:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **made._asdict())
    return made


def _run(
    network: Extractor,
    images: Pixels,
    batch_size: int,
    offset: int,
    total: int,
    progress: Callable[[int, int], None],
) -> Float[np.ndarray, "_ D"]:
    batches = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        # Pad the last batch, so that nothing is compiled for a second shape.
        filling = np.repeat(batch[-1:], batch_size - len(batch), axis=0)
        batches.append(np.asarray(network(np.concatenate([batch, filling])))[: len(batch)])
        progress(offset + start + len(batch), total)
    return np.concatenate(batches)


def _key(images: Pixels, network_digest: str) -> str:
    if not network_digest:
        raise ValueError("keeping features needs a network_digest, got none")
    return hashlib.sha256(f"{digest(images)} {network_digest}".encode()).hexdigest()[:32]


def _load(path: Path, count: int) -> Float[np.ndarray, "_ D"]:
    try:
        shard = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it to make it again") from error
    if shard.ndim != 2 or len(shard) != count:
        raise ValueError(f"{path} has shape {shard.shape}, wanted ({count}, D); delete it")
    return shard
