"""Divided and drawn sources, whose image i says that it is image i: no image twice, each class its share."""

import numpy as np
import pytest
from numbered_sources import numbered, numbers

from ddpm_jax.data import division
from ddpm_jax.data import source as sources


def test_split_parts_are_disjoint_and_complete_for_any_seed():
    source = numbered(np.random.default_rng(0).integers(0, 3, 1000))
    for seed in range(5):
        parts = [numbers(part) for part in division.split(source, (0.7, 0.1, 0.2), seed)]
        assert [len(part) for part in parts] == [700, 100, 200]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))


def test_split_gives_every_part_its_share_of_every_class():
    labels = np.repeat([0, 1, 2], [800, 150, 50])
    parts = division.split(numbered(labels), (0.7, 0.1, 0.2), seed=3)
    for part, fraction in zip(parts, (0.7, 0.1, 0.2), strict=True):
        share = np.bincount(part.labels, minlength=3)
        assert np.all(np.abs(share - fraction * np.array([800, 150, 50])) <= 2), share


def test_split_depends_on_the_seed_and_on_nothing_else():
    source = numbered([0, 1] * 50)
    first, again, other = (numbers(division.split(source, (0.5, 0.5), s)[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_never_changes():
    """A recorded answer: were it to change, a resumed run would train on its former test images."""
    part = division.split(numbered([0] * 6 + [1] * 6), (0.75, 0.25), seed=0)[1]
    np.testing.assert_array_equal(numbers(part), [5, 9, 10])


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.0, 0.0), (-0.5, 1.5)])
def test_fractions_must_be_positive_and_sum_to_one(fractions):
    with pytest.raises(ValueError, match="must be positive and sum to 1"):
        division.split(numbered([0, 1]), fractions, 0)


def test_a_part_without_images_is_refused():
    with pytest.raises(ValueError, match="3 images of numbered are too few"):
        division.split(numbered([0, 1, 2]), (0.9, 0.1), 0)


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
        rows = division.stratified_rows(ordered, num, seed=3)
        assert len(set(rows.tolist())) == num
        share = sources.class_counts(whole) * num / 1000
        found = sources.class_counts(sources.take(ordered, rows))
        assert (np.abs(found - share) < 1).all()


def test_a_stratified_subset_is_drawn_by_its_seed_from_the_whole_source():
    whole = unbalanced(1000, seed=0)
    first, again, other = (division.stratified_rows(whole, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())
    # Each image is as likely as another of its class: 40 draws of a tenth, counted by hundreds of rows.
    drawn = np.concatenate([division.stratified_rows(whole, 100, seed) for seed in range(40)])
    counts = np.histogram(drawn, bins=10, range=(0, 1000))[0]
    assert counts.sum() == 4000 and counts.min() > 320 and counts.max() < 480  # 400 +- 4 deviations


def test_chance_decides_which_classes_a_very_small_subset_holds():
    labels = np.repeat(np.arange(10, dtype=np.int32), 20)
    whole = sources.from_arrays(np.zeros((200, 2, 2, 1), np.uint8), labels, "abcdefghij", "ten")
    held = {tuple(sorted(division.stratified(whole, 3, seed).labels)) for seed in range(20)}
    assert len(held) > 10 and all(len(set(classes)) == 3 for classes in held)


def test_more_images_than_there_are_is_refused():
    with pytest.raises(ValueError, match="1001 images of four are wanted; it has 1000"):
        division.stratified_rows(unbalanced(1000, seed=0), 1001, seed=0)


def test_examples_take_turns_by_class_and_are_not_the_first_ones():
    whole = sources.take(unbalanced(1000, 0), np.argsort(unbalanced(1000, 0).labels, kind="stable"))
    shown = division.in_turn(whole, 8, seed=0)
    assert shown.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    first = sources.decode(sources.take(whole, [0, 1]))
    assert not np.array_equal(sources.decode(shown)[[0, 4]], first)
    assert len(division.in_turn(whole, 5000, seed=0).labels) == 1000


def test_a_small_set_has_as_many_of_each_class_and_lies_in_larger_ones():
    whole = numbered([0, 1, 2] * 25)
    five, ten = (division.small_set(whole, num, seed=0) for num in (5, 10))
    assert np.bincount(five.labels).tolist() == [5] * 3
    assert np.bincount(ten.labels).tolist() == [10] * 3
    assert set(numbers(five)) < set(numbers(ten)) and len(set(numbers(ten))) == 30
    assert set(numbers(division.small_set(whole, 5, seed=1))) != set(numbers(five))


def test_a_small_set_wants_enough_of_each_class():
    with pytest.raises(ValueError, match=r"12 images of each class are wanted .* 'c' .* has 11"):
        division.small_set(numbered([0, 1, 2] * 11 + [0, 1] * 5), 12, 0)


def test_folds_hold_out_every_image_once_and_each_class_its_share():
    whole = numbered([0, 1, 2] * 25 + [0] * 5)
    held_out = []
    for fold in range(4):
        train, validation = division.hold_out(whole, fold, 4, seed=0)
        assert not set(numbers(train)) & set(numbers(validation))
        assert len(train.labels) + len(validation.labels) == 80
        share = sources.class_counts(whole) / 4
        assert (np.abs(sources.class_counts(validation) - share) < 1).all()
        held_out += numbers(validation).tolist()
    assert sorted(held_out) == list(range(80))
    train, validation = division.hold_out(whole, -1, 4, seed=0)
    assert numbers(train).tolist() == list(range(80)) and not len(validation.labels)
