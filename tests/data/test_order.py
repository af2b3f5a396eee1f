"""Batches of sources whose image i says that it is image i."""

import concurrent.futures
import itertools

import numpy as np
import pytest

from ddpm_jax.data import order, source


def numbered(n, *, decoded=True):
    images = np.arange(n, dtype=np.uint8)[:, None, None, None]
    whole = source.from_arrays(images, np.arange(n, dtype=np.int32) % 3, "abc", "numbered")
    return whole if decoded else whole._replace(images=None)


def first(count, *arguments, **options):
    return list(itertools.islice(order.batches(*arguments, **options), count))


def drawn(batches):
    return np.stack([batch["image"].reshape(-1) for batch in batches])


@pytest.mark.parametrize("decoded", [True, False])
def test_a_batch_is_uint8_images_with_their_labels(decoded):
    for batch in first(3, numbered(20, decoded=decoded), 8, seed=0):
        assert batch["image"].shape == (8, 1, 1, 1)
        assert batch["image"].dtype == np.uint8
        assert batch["label"].dtype == np.int32
        np.testing.assert_array_equal(batch["label"], batch["image"].reshape(-1) % 3)


@pytest.mark.parametrize("decoded", [True, False])
def test_every_epoch_sees_each_image_once_in_a_new_order(decoded):
    epochs = drawn(first(15, numbered(20, decoded=decoded), 8, seed=0)).reshape(6, 20)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(20), (6, 1)))
    assert len({epoch.tobytes() for epoch in epochs}) == 6


def test_a_batch_larger_than_the_source_spans_epochs():
    epochs = drawn(first(12, numbered(5), 15, seed=0)).reshape(36, 5)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(5), (36, 1)))
    assert len({epoch.tobytes() for epoch in epochs}) > 20


@pytest.mark.parametrize(("size", "count"), [(1, 42), (3, 14), (6, 7), (14, 3), (42, 1)])
def test_the_order_does_not_depend_on_the_size_of_a_batch(size, count):
    batches = np.stack([order.indices(6, size, seed=9)[i] for i in range(count)])
    assert batches.dtype == np.int64
    np.testing.assert_array_equal(batches.reshape(-1), order.indices(6, 42, seed=9)[0])


def test_the_order_is_that_of_earlier_versions():
    """A run that is resumed, or repeated later, sees its images in the same order."""
    seventh = " ".join(map(str, order.indices(10, 20, seed=3)[7]))
    assert seventh == "6 2 0 9 4 7 1 8 5 3 1 6 8 5 2 9 7 0 4 3"


def test_the_order_is_not_that_of_the_split():
    """Both are drawn from the run's seed."""
    split = np.argsort(np.random.PCG64(3).random_raw(1000), kind="stable")
    assert (order.indices(1000, 1000, seed=3)[0] == split).sum() < 20


def test_numbers_may_be_asked_for_in_any_order_and_by_several_threads():
    wanted = [order.indices(7, 5, seed=2)[i] for i in range(400)]
    shared = order.indices(7, 5, seed=2)
    numbers = np.random.default_rng(0).permutation(400).tolist()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number, batch in zip(numbers, pool.map(shared.__getitem__, numbers), strict=True):
            np.testing.assert_array_equal(batch, wanted[number])


def test_writing_into_a_batch_changes_no_other():
    mine, untouched = order.indices(8, 4, seed=0), order.indices(8, 4, seed=0)
    mine[0][:] = -1
    for number in range(3):
        np.testing.assert_array_equal(mine[number], untouched[number])


def test_the_seed_alone_decides():
    runs = [drawn(first(4, numbered(50), 8, seed=seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("start", [1, 7, 1_000_000])
def test_starting_later_is_the_same_as_going_on(start):
    """The indices, which no reading comes before, are the other implementation."""
    data = numbered(50, decoded=False)
    expected = np.stack([order.indices(50, 8, seed=4)[start + i] for i in range(5)])
    np.testing.assert_array_equal(drawn(first(5, data, 8, seed=4, start=start)), expected)
    if start < 100:
        np.testing.assert_array_equal(drawn(first(start + 5, data, 8, seed=4))[start:], expected)


def test_the_rows_of_all_processes_are_the_global_batch():
    whole = drawn(first(4, numbered(50), 8, seed=0))
    parts = [drawn(first(4, numbered(50), 8, seed=0, rows=slice(a, a + 2))) for a in range(0, 8, 2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_process_reads_its_own_rows_only():
    reads = []
    data = numbered(50, decoded=False)
    data = data._replace(read=lambda i, read=data.read: (reads.append(i), read(i))[1])
    mine = order.indices(50, 8, seed=0)
    batches = order.batches(data, 8, seed=0, rows=slice(2, 4))
    next(batches)
    del batches
    allowed = {i for step in range(100) for i in mine[step][2:4].tolist()}
    assert reads and set(reads) <= allowed
    assert set(mine[0][2:4].tolist()) <= set(reads)


def test_an_unreadable_image_stops_the_run_with_its_own_message():
    def read(i):
        raise ValueError("image 3.png is truncated")

    with pytest.raises(ValueError, match=r"3\.png is truncated"):
        next(order.batches(numbered(9, decoded=False)._replace(read=read), 4, seed=0))


@pytest.mark.parametrize(("n", "size", "match"), [(0, 4, "no image"), (4, 0, "batch_size is 0")])
def test_nothing_to_order_is_refused(n, size, match):
    with pytest.raises(ValueError, match=match):
        order.indices(n, size, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_a_key_cannot_hold_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}; it must be from 0"):
        order.indices(4, 2, seed)
    order.indices(4, 2, 2**32 - 1)[0]


def test_the_places_are_those_of_the_batches():
    data, rows = numbered(50), slice(2, 5)
    named = list(itertools.islice(order.places(data, 8, seed=1, start=5, rows=rows), 9))
    assert all(batch["index"].dtype == np.int32 for batch in named)
    expected = drawn(first(9, data, 8, seed=1, start=5, rows=rows))
    np.testing.assert_array_equal(np.stack([batch["index"] for batch in named]), expected)


@pytest.mark.parametrize("decoded", [True, False])
def test_evaluation_sees_every_image_once_in_order(decoded):
    batches = list(order.sequential(numbered(10, decoded=decoded), 4))
    assert [batch["image"].shape for batch in batches] == [(4, 1, 1, 1)] * 2 + [(2, 1, 1, 1)]
    seen = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert set(seen) == {"image", "label"}
    np.testing.assert_array_equal(seen["image"].ravel(), np.arange(10))
    np.testing.assert_array_equal(seen["label"], np.arange(10) % 3)


def test_evaluation_refuses_batches_of_nothing():
    with pytest.raises(ValueError, match="batch_size is 0"):
        next(order.sequential(numbered(3), 0))
