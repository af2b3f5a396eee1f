"""What an ensemble keeps and how it labels: by hand, with a trainer that remembers, and on digits."""

import numpy as np
import pytest

from configs import digits as digits_config
from ddpm_jax.assembly import classifiers
from ddpm_jax.data import digits
from ddpm_jax.measuring import labelled, selection
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.types import Trainer

TWO_MEMBERS = np.array(
    [[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [[0.7, 0.3], [0.2, 0.8], [0.4, 0.6]]], np.float32
)


def test_an_image_is_kept_by_the_mean_probability_of_its_own_label():
    labels = np.array([0, 0, 1], np.int32)
    np.testing.assert_allclose(selection.soft(TWO_MEMBERS), [[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    for threshold, kept in ((0.0, [1, 1, 1]), (0.5, [1, 0, 1]), (0.75, [1, 0, 0])):
        found = selection.agreed(TWO_MEMBERS, labels, threshold)
        assert found.tolist() == [bool(k) for k in kept]


def test_a_true_label_keeps_at_least_half():
    found = selection.corrected(TWO_MEMBERS[1], np.array([0, 0, 1], np.int32))
    np.testing.assert_allclose(found, [[0.85, 0.15], [0.6, 0.4], [0.2, 0.8]])


def test_parts_have_the_same_share_of_each_class():
    labels = np.repeat(np.arange(3, dtype=np.int32), [10, 20, 7])
    part = selection.parts(labels, 5)
    counts = np.array([np.bincount(part[labels == c], minlength=5) for c in range(3)])
    np.testing.assert_array_equal(counts, [[2] * 5, [4] * 5, [2, 2, 1, 1, 1]])


@pytest.mark.parametrize(
    ("labels", "num", "message"),
    [
        ([0, 0, 1, 1], 1, "num is 1; it must be at least 2"),
        ([0, 0, 1], 2, "class 1 has 1 real image"),
    ],
)
def test_too_few_members_or_images_are_refused(labels, num, message):
    with pytest.raises(ValueError, match=message):
        selection.parts(np.array(labels, np.int32), num)


def test_no_real_image_is_judged_by_a_member_that_was_trained_on_it():
    """The stand-in gives probability 1 to class 0 for an image that it has seen, else to class 1."""
    seeds = []

    def fit(images, labels, several, *, augmented):
        assert augmented and len(np.unique(labels)) == 2
        seeds.extend(several)
        return {image.tobytes() for image in images}

    def predict(seen, images):
        known = np.array([image.tobytes() in seen for image in images])
        return np.eye(2, dtype=np.float32)[(~known).astype(int)][None]

    images = np.arange(22, dtype=np.uint8).reshape(22, 1, 1, 1)
    real = Labelled(images, np.arange(22, dtype=np.int32) % 2)
    made = Labelled(images[:5], np.zeros(5, np.int32))
    judged = selection.judge(Trainer(fit, predict, predict), real, made, 3, 2)
    assert len(set(seeds)) == 3 and min(seeds) > 1000  # no seed of a classifier that is measured
    np.testing.assert_array_equal(judged.real, np.tile([0, 1], (22, 1)))
    # The first five images are in other parts: 0, 0, 1, 1 and 2.
    assert judged.made[:, :, 1].tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]


@pytest.mark.usefixtures("compiled_quickly")
def test_an_ensemble_on_digits_finds_the_wrong_labels():
    splits = digits.load()
    config = digits_config.get_config().classifier
    config.num_steps, config.warmup_steps, config.batch_size = 60, 5, 64
    config.augment.rotation = 0.0
    real = labelled.take(labelled.decode(splits.train), np.arange(500))
    made = labelled.take(labelled.decode(splits.train), np.arange(500, 900))
    wrong = made.label.copy()
    wrong[::4] = (wrong[::4] + 3) % 10
    trainer = classifiers.build_trainer(config, 0, (8, 8, 1), 10)
    judged = selection.judge(trainer, real, made._replace(label=wrong), 2, 10)
    assert judged.real.shape == (500, 10) and judged.made.shape == (2, 400, 10)
    np.testing.assert_allclose(judged.real.sum(1), 1, atol=1e-5)
    assert np.mean(judged.real.argmax(1) == real.label) > 0.8
    kept = selection.agreed(judged.made, wrong, 0.5)
    assert kept[::4].mean() < 0.1 and np.delete(kept, np.arange(0, 400, 4)).mean() > 0.6
