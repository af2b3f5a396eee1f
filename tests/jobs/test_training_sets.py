"""What the arms of the classifier are trained on."""

import numpy as np
import pytest

from configs import default
from ddpm_jax.assembly import augmentation
from ddpm_jax.jobs import classify
from ddpm_jax.measuring import arms
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.measuring.selection import Judged
from ddpm_jax.types import Trainer


def photos(num):
    images = np.random.default_rng(9).integers(0, 256, (num, 4, 4, 1)).astype(np.uint8)
    return Labelled(images, np.arange(num, dtype=np.int32) % 7)


NO_TRAINER = Trainer(None, None, None)


@pytest.fixture
def config():
    config = default.get_config()
    config.classifier.augment.rotation = 0.0
    config.classifier.augment.shift = 0
    config.classifier.augment.flip = True
    return config


def test_controls_have_as_many_more_images_as_there_are_synthetic_ones(config):
    found = classify.build_arms(config, photos(10), photos(25), NO_TRAINER, 7)
    assert {arm: len(of.images.label) for arm, of in found.items()} == {
        "real": 10,
        "synthetic": 25,
        "real+synthetic": 35,
        "real+duplicated": 35,
        "real+augmented": 35,
    }


def test_the_copies_of_each_image_follow_the_originals_with_their_labels(config):
    config.classifier.copies = 3
    real = photos(1500)
    found = classify.build_arms(config, real, photos(25), NO_TRAINER, 7)["real+augmented"]
    more = found.images
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


@pytest.mark.parametrize("parts", arms.PARTS)
@pytest.mark.parametrize("suffixes", [(), ("augmented",), ("soft",), ("soft", "augmented")])
def test_a_name_says_its_parts_and_suffixes(parts, suffixes):
    arm = arms.parse(", ".join([parts, *suffixes]))
    assert arm == arms.Arm(parts, False, "soft" in suffixes, "augmented" in suffixes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake", "'fake' is no arm; known: real, synthetic"),
        ("real, moved", "'real, moved' is no arm"),
        ("real, augmented, soft", "in this order"),
        ("real, soft, soft", "is no arm"),
        ("real,augmented", "is no arm"),
        ("real, selected", "only synthetic images are selected"),
        ("real, real augmented", "goes with real\\+synthetic alone"),
        ("real+synthetic, augmented, real augmented", "goes with real\\+synthetic alone"),
    ],
)
def test_what_is_no_arm_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        arms.parse(name)


def judged_photos():
    """Three synthetic images of seven are believed; the real ones are taken for the class after theirs."""
    made = np.zeros((2, 7, 7), np.float32)
    made[:, np.arange(7), np.arange(7)] = [[1, 0.9, 0.6, 0.3, 0, 0, 0], [1, 0.7, 0.5, 0.6, 0, 0, 0]]
    return Judged(np.eye(7, dtype=np.float32)[(np.arange(14) + 1) % 7], made)


def build(name, **options):
    settings = {"seed": 0, "copies": lambda images, seed: 255 - images, "judged": judged_photos()}
    return arms.build(name, photos(14), photos(7), **settings | options)


def test_selected_images_are_those_whose_label_the_ensemble_gives():
    found = build("synthetic, selected", threshold=0.5)
    assert found.images.label.tolist() == [0, 1, 2]
    assert (found.num_real, found.num_added, found.augmented) == (0, 3, False)
    both = build("real+synthetic, selected, augmented", threshold=0.9)
    assert (both.num_real, both.num_added, both.augmented) == (14, 1, True)
    np.testing.assert_array_equal(both.images.image, photos(15).image[[*range(14), 0]])
    with pytest.raises(ValueError, match="keeps no synthetic image"):
        build("synthetic, selected", threshold=1.1)


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_the_real_images_alone_are_augmented_where_the_arm_says_so(share):
    real, made = photos(7), photos(30)
    made = made._replace(image=made.image[7:], label=made.label[7:])
    name = "real+synthetic, real augmented"
    found = arms.build(name, real, made, seed=0, copies=lambda x, seed: x, share=share)
    known = {image.tobytes() for image in real.image}
    assert found.augmented.tolist() == [image.tobytes() in known for image in found.images.image]
    assert found.num_added == 23 and found.augmented.any() and not found.augmented.all()


def test_soft_labels_are_the_ensembles_and_real_ones_keep_half_of_the_truth():
    found = build("real+synthetic, selected, soft", threshold=0.5).images.label
    wanted = np.eye(7)[np.arange(14) % 7] / 2 + np.eye(7)[(np.arange(14) + 1) % 7] / 2
    np.testing.assert_allclose(found[:14], wanted)
    np.testing.assert_allclose(found[14:], np.diag([1, 0.8, 0.55, 0, 0, 0, 0])[:3], atol=1e-6)


def test_copies_have_the_soft_labels_of_their_images():
    found = build("real+augmented, soft", num_copies=2).images
    assert found.label.shape == (42, 7)
    places = {(255 - image).tobytes(): i for i, image in enumerate(photos(14).image)}
    rows = [places[image.tobytes()] for image in found.image[14:]]
    np.testing.assert_array_equal(found.label[14:], found.label[rows])


def test_images_of_the_smaller_part_are_repeated_and_counted_once():
    found = build("real+synthetic", share=0.5)
    assert (found.num_real, found.num_added, len(found.images.label)) == (14, 7, 28)
    assert build("synthetic", share=0.5).num_added == len(build("synthetic").images.label) == 7


def test_an_arm_says_what_it_lacks():
    with pytest.raises(ValueError, match="'real, soft' needs an ensemble's probabilities"):
        build("real, soft", judged=None)
    with pytest.raises(ValueError, match="'synthetic' needs synthetic images"):
        arms.build("synthetic", photos(14), None, seed=0, copies=lambda images, seed: images)
