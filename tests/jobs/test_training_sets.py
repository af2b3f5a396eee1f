"""What the arms of the classifier are trained on."""

import numpy as np
import pytest

from configs import default
from ddpm_jax.assembly import augmentation
from ddpm_jax.jobs import classify
from ddpm_jax.measuring.labelled import Labelled


def photos(num):
    images = np.random.default_rng(9).integers(0, 256, (num, 4, 4, 1)).astype(np.uint8)
    return Labelled(images, np.arange(num, dtype=np.int32) % 7)


@pytest.fixture
def config():
    config = default.get_config()
    config.classifier.augment.rotation = 0.0
    config.classifier.augment.shift = 0
    config.classifier.augment.flip = True
    return config


def test_controls_have_as_many_more_images_as_there_are_synthetic_ones(config):
    arms = classify.build_arms(config, photos(10), photos(25))
    assert {arm: len(images.label) for arm, images in arms.items()} == {
        "real": 10,
        "synthetic": 25,
        "real+synthetic": 35,
        "real+duplicated": 35,
        "real+augmented": 35,
    }


def test_so_many_copies_of_each_image_follow_the_originals_with_their_labels(config):
    config.classifier.copies = 3
    real = photos(1500)
    more = classify.build_arms(config, real, photos(25))["real+augmented"]
    assert len(more.label) == 4 * 1500
    np.testing.assert_array_equal(more.image[:1500], real.image)
    places = {image.tobytes(): i for i, image in enumerate(real.image)}
    mirrored = {image[:, ::-1].tobytes(): i for i, image in enumerate(real.image)}
    found = [(i.tobytes() in places, (places | mirrored)[i.tobytes()]) for i in more.image[1500:]]
    np.testing.assert_array_equal(more.label[1500:], real.label[[place for _, place in found]])
    np.testing.assert_array_equal(np.bincount([place for _, place in found]), 3)
    # Each copy is drawn by itself: about half are mirrored.
    assert np.mean([same for same, _ in found]) == pytest.approx(0.5, abs=0.04)


def test_a_copy_does_not_depend_on_the_other_images(config):
    real = photos(1500)
    copies = augmentation.build_copies(config.classifier.augment)
    np.testing.assert_array_equal(copies(real.image, 0)[:3], copies(real.image[:3], 0))
