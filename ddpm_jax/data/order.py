"""The order in which images are read: batch i is a function of (seed, i) alone."""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator

import grain
import numpy as np

from ddpm_jax.data.division import permutation
from ddpm_jax.data.source import Source

# A gather is faster than a second thread that competes for the interpreter.
IN_MEMORY = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)

HostBatch = dict[str, np.ndarray]
"""`image` uint8 [B, H, W, C] and `label` int32 [B]."""


def indices(num_images: int, batch_size: int, seed: int) -> grain.MapDataset:
    """An endless sequence: `indices(...)[i]` are the images of batch i, int64 [B].

    Epochs follow each other without a gap, each in its own order; a batch may span two or more.
    """
    if num_images < 1:
        raise ValueError("the source has no image")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    if not 0 <= seed < 2**32:  # JAX's keys would keep only the low bits of a larger seed
        raise ValueError(f"seed is {seed}; it must be from 0 to 2**32 - 1")
    return grain.MapDataset.source(_Order(num_images, batch_size, seed))


def batches(
    source: Source, batch_size: int, seed: int, start: int = 0, rows: slice = slice(None)
) -> Iterator[HostBatch]:
    """Endless batches from number `start` on; `rows` is what this process loads of each."""
    if source.images is not None:
        options = IN_MEMORY
    else:
        # One thread per batch. Pillow and the file system release the GIL while they work.
        threads = min(16, os.cpu_count() or 1)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    order = _rows(source, batch_size, seed, start, rows)
    return iter(order.map(_reader(source)).to_iter_dataset(options))


def places(
    source: Source, batch_size: int, seed: int, start: int = 0, rows: slice = slice(None)
) -> Iterator[HostBatch]:
    """`batches`, for a caller that holds the images: only their `index`, int32 [B]."""
    order = _rows(source, batch_size, seed, start, rows)
    named = order.map(lambda batch: {"index": batch.astype(np.int32)})
    return iter(named.to_iter_dataset(IN_MEMORY))


def sequential(source: Source, batch_size: int) -> Iterator[HostBatch]:
    """Every image once, in order; the last batch may be smaller."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    read = _reader(source)
    num_images = len(source.labels)
    for first in range(0, num_images, batch_size):
        yield read(np.arange(first, min(first + batch_size, num_images)))


class _Order:
    """Batches by number, cut from epochs shuffled as a whole: grain's shuffle is one call per image.

    Threads may share it. The two latest epochs are kept, 16 bytes per image.
    """

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self._epoch = functools.lru_cache(maxsize=2)(self._shuffled)
        self._one_at_a_time = threading.Lock()  # or each thread would shuffle a new epoch

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, number: int) -> np.ndarray:
        at, end = number * self.batch_size, (number + 1) * self.batch_size
        parts = []
        while at < end:
            epoch, first = divmod(at, self.num_images)
            with self._one_at_a_time:
                parts.append(self._epoch(epoch)[first : first + end - at])
            at += len(parts[-1])
        return np.concatenate(parts)

    def _shuffled(self, epoch: int) -> np.ndarray:
        # A spawned stream differs from that of `division.split`, which has the same seed.
        stream = np.random.SeedSequence(self.seed, spawn_key=(epoch,))
        return permutation(self.num_images, stream)


def _rows(source: Source, batch_size: int, seed: int, start: int, rows: slice) -> grain.MapDataset:
    """What this process loads of each batch, from number `start` on."""
    order = indices(len(source.labels), batch_size, seed).slice(slice(start, None))
    return order.map(lambda batch: batch[rows])


def _reader(source: Source) -> Callable[[np.ndarray], HostBatch]:
    def read(batch: np.ndarray) -> HostBatch:
        if source.images is not None:
            images = source.images[batch]
        else:
            images = np.stack([source.read(int(i)) for i in batch])
        return {"image": images, "label": source.labels[batch]}

    return read
