"""Filters, splits and resizing, on sources whose image i says that it is image i."""

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("indices", [range(1, 4), (1, 2, 3), np.array([1, 2, 3], np.int32)])
def test_take_takes_any_sequence_of_indices(indices):
    np.testing.assert_array_equal(numbers(sources.take(numbered([0] * 5), indices)), [1, 2, 3])


@pytest.mark.parametrize("decoded", [True, False])
def test_take_keeps_image_and_label_together(decoded):
    source = numbered([0, 1, 2, 0, 1, 2], decoded=decoded)
    taken = sources.take(sources.take(source, np.array([5, 1, 3])), np.array([2, 0, 0]))
    np.testing.assert_array_equal(numbers(taken), [3, 5, 5])
    np.testing.assert_array_equal(taken.labels, [0, 2, 2])
    assert (taken.images is not None) == decoded


def test_kept_classes_are_relabelled_in_the_order_given():
    source = numbered([0, 1, 2, 0, 1, 2])
    for classes in [("c", "a"), (2, 0), ("c", 0)]:
        kept = sources.keep_classes(source, classes)
        assert kept.class_names == ("c", "a")
        np.testing.assert_array_equal(numbers(kept), [0, 2, 3, 5])
        np.testing.assert_array_equal(kept.labels, [1, 0, 1, 0])
        assert kept.labels.dtype == np.int32


def test_classes_that_share_a_name_are_kept_apart_by_index():
    source = numbered([0, 1, 2], ("crane", "dog", "crane"))
    np.testing.assert_array_equal(sources.keep_classes(source, (2, 0)).labels, [1, 0])


def test_breeds_become_cats_and_dogs():
    source = numbered([0, 1, 2, 3, 1], ("Pug", "Bengal", "Birman", "Beagle"))
    grouped = sources.group_classes(source, {"cat": ("Bengal", "Birman"), "dog": ("Pug",)})
    assert grouped.class_names == ("cat", "dog")
    np.testing.assert_array_equal(numbers(grouped), [0, 1, 2, 4])
    np.testing.assert_array_equal(grouped.labels, [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "truck"), r"unknown class 'truck' of numbered; known: 0 'a', 1 'b', 2 'c'"),
        ((3,), "unknown class 3"),
        ((-1,), "unknown class -1"),
        (("a", 0), "'a' is named twice"),
        (("c",), "'c' of numbered has no image"),
        ((), "no class of numbered is kept"),
    ],
)
def test_a_wrong_choice_of_classes_is_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        sources.keep_classes(numbered([0, 1]), classes)


def test_class_counts_say_what_is_not_there():
    np.testing.assert_array_equal(sources.class_counts(numbered([1, 1, 0])), [1, 2, 0])


def test_split_parts_are_disjoint_and_complete_for_any_seed():
    source = numbered(np.random.default_rng(0).integers(0, 3, 1000))
    for seed in range(5):
        parts = [numbers(part) for part in sources.split(source, (0.7, 0.1, 0.2), seed)]
        assert [len(part) for part in parts] == [700, 100, 200]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))


def test_split_gives_every_part_its_share_of_every_class():
    labels = np.repeat([0, 1, 2], [800, 150, 50])
    parts = sources.split(numbered(labels), (0.7, 0.1, 0.2), seed=3)
    for part, fraction in zip(parts, (0.7, 0.1, 0.2), strict=True):
        share = np.bincount(part.labels, minlength=3)
        assert np.all(np.abs(share - fraction * np.array([800, 150, 50])) <= 2), share


def test_split_depends_on_the_seed_and_on_nothing_else():
    source = numbered([0, 1] * 50)
    first, again, other = (numbers(sources.split(source, (0.5, 0.5), s)[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_never_changes():
    """A recorded answer: were it to change, a resumed run would train on its former test images."""
    part = sources.split(numbered([0] * 6 + [1] * 6), (0.75, 0.25), seed=0)[1]
    np.testing.assert_array_equal(numbers(part), [5, 9, 10])


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.0, 0.0), (-0.5, 1.5)])
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    with pytest.raises(ValueError, match="must be positive and sum to 1"):
        sources.split(numbered([0, 1]), fractions, 0)


def test_a_part_without_images_is_refused():
    with pytest.raises(ValueError, match="3 images of numbered are too few"):
        sources.split(numbered([0, 1, 2]), (0.9, 0.1), 0)


def picture(image):
    """One image as a source."""
    read = lambda i: image  # noqa: E731
    return sources.Source(read, np.zeros(1, np.int32), ("a",), "picture")


def test_resize_takes_the_center_without_stretching():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 10:30] = 200  # the central square, and what the filter sees on either side of it
    square = sources.resize(picture(wide), 5, 3).read(0)
    np.testing.assert_array_equal(square, np.full((5, 5, 3), 200))


def test_resize_does_not_alias():
    """A checkerboard of single pixels, far above the new sampling rate, becomes its mean."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    small = sources.resize(picture(board), 8, 1).read(0).astype(int)
    assert np.all(np.abs(small - 127.5) <= 2)


def test_gray_becomes_rgb_by_repetition_and_rgb_gray_by_luma():
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    np.testing.assert_array_equal(
        sources.resize(picture(gray), 8, 3).read(0), np.repeat(gray, 3, axis=2)
    )
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    # ITU-R 601-2: 0.299 R + 0.587 G + 0.114 B
    np.testing.assert_array_equal(
        sources.resize(picture(red), 8, 1).read(0), np.full((8, 8, 1), 76)
    )


def test_resize_then_crop_is_the_same_as_crop_and_resize():
    """16 x 24 is 12 x 18 at three quarters, where the central square starts at a whole pixel, 3."""
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    shrunk = Image.fromarray(image).resize((18, 12), Image.Resampling.BICUBIC)
    expected = np.asarray(shrunk)[:, 3:15]
    np.testing.assert_array_equal(sources.resize(picture(image), 12, 3).read(0), expected)


def test_images_of_the_right_size_are_left_alone():
    source = numbered([0, 1, 2], decoded=True)
    assert sources.resize(source, 1, 3) is source
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert sources.resize(picture(image), 8, 3).read(0) is image


@pytest.mark.parametrize(("size", "channels"), [(8, 2), (8, 4), (0, 3)])
def test_impossible_sizes_are_refused(size, channels):
    with pytest.raises(ValueError, match=r"channels is|size is"):
        sources.resize(numbered([0]), size, channels)


def test_decoding_once_changes_nothing_but_the_reading():
    calls = []
    source = numbered([0, 1, 2, 0])
    counted = source._replace(read=lambda i: (calls.append(i), source.read(i))[1])
    held = sources.in_memory(counted)
    before = len(calls)
    np.testing.assert_array_equal(numbers(held), numbers(source))
    np.testing.assert_array_equal(held.read(3), source.read(3))
    assert len(calls) == before == 5  # image 0 once more, for the shape


def test_images_of_different_sizes_do_not_make_an_array():
    sizes = [(2, 2, 3), (2, 2, 3), (2, 3, 3)]
    source = numbered([0, 0, 0])._replace(read=lambda i: np.zeros(sizes[i], np.uint8))
    with pytest.raises(ValueError, match=r"image 2 of numbered is \(2, 3, 3\), image 0 is"):
        sources.decode(source)


def test_a_source_without_images_does_not_decode():
    with pytest.raises(ValueError, match="numbered has no image"):
        sources.decode(numbered([]))


def test_fits_counts_bytes():
    source = numbered([0, 1, 2, 0])
    assert sources.fits(source, 12)
    assert not sources.fits(source, 11)
    assert sources.fits(numbered([]), 0)


def test_fingerprint_sees_pixels_labels_names_and_order():
    source = numbered([0, 1, 2, 0])
    same = sources.fingerprint(source)
    assert sources.fingerprint(sources.in_memory(source)) == same
    changed = source.read(0).copy()
    changed[0, 0, 2] += 1
    others = [
        source._replace(read=lambda i: changed if i == 3 else source.read(i)),
        source._replace(labels=np.array([0, 1, 2, 1], np.int32)),
        source._replace(class_names=("a", "b", "d")),
        sources.take(source, np.array([3, 1, 2, 0])),
        sources.take(source, np.array([0, 1, 2])),
    ]
    assert len({same, *map(sources.fingerprint, others)}) == 6


def test_fingerprint_of_a_large_source_reads_a_sample():
    first, rest = np.zeros((512, 512, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
    reads = []
    large = numbered([0] * 6000)  # 4.7 GB, judged by the first image
    large = large._replace(read=lambda i: (reads.append(i), rest if i else first)[1])
    sources.fingerprint(large)
    assert len(set(reads)) == 4096
    assert {0, 5999} < set(reads)


def unbalanced(num, seed):
    """Labels of four classes with shares of about 60, 30, 9 and 1 percent."""
    labels = np.random.default_rng(seed).choice(4, num, p=[0.6, 0.3, 0.09, 0.01]).astype(np.int32)
    images = np.zeros((num, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = divmod(np.arange(num), 256)
    return sources.from_arrays(images, labels, "abcd", "four")


@pytest.mark.parametrize("num", [0, 1, 3, 50, 333, 1000])
def test_in_a_stratified_subset_each_class_has_its_share_within_one_image(num):
    whole = unbalanced(1000, seed=0)
    for ordered in (whole, sources.take(whole, np.argsort(whole.labels, kind="stable"))):
        rows = sources.stratified_rows(ordered, num, seed=3)
        assert len(set(rows.tolist())) == num
        share = sources.class_counts(whole) * num / 1000
        found = sources.class_counts(sources.take(ordered, rows))
        assert (np.abs(found - share) < 1).all()


def test_a_stratified_subset_is_drawn_by_its_seed_from_the_whole_source():
    whole = unbalanced(1000, seed=0)
    first, again, other = (sources.stratified_rows(whole, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())
    # Each image is as likely as another of its class: 40 draws of a tenth, counted by hundreds of rows.
    drawn = np.concatenate([sources.stratified_rows(whole, 100, seed) for seed in range(40)])
    counts = np.histogram(drawn, bins=10, range=(0, 1000))[0]
    assert counts.sum() == 4000 and counts.min() > 320 and counts.max() < 480  # 400 +- 4 deviations


def test_chance_decides_which_classes_a_very_small_subset_holds():
    labels = np.repeat(np.arange(10, dtype=np.int32), 20)
    whole = sources.from_arrays(np.zeros((200, 2, 2, 1), np.uint8), labels, "abcdefghij", "ten")
    held = {tuple(sorted(sources.stratified(whole, 3, seed).labels)) for seed in range(20)}
    assert len(held) > 10 and all(len(set(classes)) == 3 for classes in held)


def test_more_images_than_there_are_is_refused():
    with pytest.raises(ValueError, match="1001 images of four are wanted; it has 1000"):
        sources.stratified_rows(unbalanced(1000, seed=0), 1001, seed=0)


def test_examples_take_turns_by_class_and_are_not_the_first_ones():
    whole = sources.take(unbalanced(1000, 0), np.argsort(unbalanced(1000, 0).labels, kind="stable"))
    shown = sources.in_turn(whole, 8, seed=0)
    assert shown.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    first = sources.decode(sources.take(whole, [0, 1]))
    assert not np.array_equal(sources.decode(shown)[[0, 4]], first)
    assert len(sources.in_turn(whole, 5000, seed=0).labels) == 1000


def test_a_small_set_has_so_many_of_each_class_and_lies_in_larger_ones():
    train, validation = numbered([0, 1, 2] * 20), numbered([2, 1, 0] * 5)
    validation = validation._replace(read=lambda i: numbered([0] * 200).read(100 + i))
    sets = {num: sources.small_set(train, validation, num, 0.2, seed=0) for num in (5, 10)}
    seen = {}
    for num, parts in sets.items():
        labels = np.concatenate([part.labels for part in parts])
        assert np.bincount(labels).tolist() == [num] * 3
        assert [len(part.labels) for part in parts] == [12 * num // 5, 3 * num // 5]
        seen[num] = {int(i) for part in parts for i in numbers(part)}
        assert len(seen[num]) == 3 * num
    assert seen[5] < seen[10] and max(seen[10]) >= 100 > min(seen[10])
    other = sources.small_set(train, validation, 5, 0.2, seed=1)
    assert {int(i) for part in other for i in numbers(part)} != seen[5]


def test_a_small_set_wants_enough_of_each_class():
    with pytest.raises(ValueError, match=r"12 images of each class are wanted .* 'c' .* has 11"):
        sources.small_set(numbered([0, 1, 2] * 10 + [0, 1] * 5), numbered([0, 1, 2]), 12, 0.1, 0)
