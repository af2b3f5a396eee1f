"""Filters, splits and resizing, on sources whose image i says that it is image i."""

import numpy as np
import pytest
from numbered_sources import numbered, numbers
from PIL import Image

from ddpm_jax.data import source as sources


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
