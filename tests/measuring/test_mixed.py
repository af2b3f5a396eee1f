"""The share of each part where two labelled sets are put together."""

import numpy as np
import pytest

from ddpm_jax.measuring import labelled
from ddpm_jax.measuring.labelled import Labelled


def numbered(num, first, classes=3):
    """Images that name themselves; a class is every third image."""
    rows = np.arange(first, first + num)
    images = np.zeros((num, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = divmod(rows, 256)
    return Labelled(images, (rows % classes).astype(np.int32))


def numbers(images):
    return images.image[:, 0, 0, 0].astype(int) * 256 + images.image[:, 0, 1, 0]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize(("num", "more"), [(30, 300), (300, 30), (90, 91), (1, 50)])
def test_the_share_is_reached_and_every_image_is_there(num, more, share):
    first, second = numbered(num, 0), numbered(more, 1000)
    found, num_first = labelled.mixed(first, second, share)
    assert num_first == (numbers(found) < 1000).sum()
    of_second = numbers(found) >= 1000
    # Half an image of rounding moves the share by at most half of 1 / all.
    assert of_second.mean() == pytest.approx(share, abs=0.6 / len(of_second))
    counts = np.bincount(numbers(found), minlength=2000)
    assert counts[:num].min() >= 1 and counts[1000 : 1000 + more].min() >= 1
    # Images of a part are repeated equally often, and one of the parts not at all.
    assert np.ptp(counts[:num]) <= 1 and np.ptp(counts[1000 : 1000 + more]) <= 1
    assert 1 in (counts[:num].max(), counts[1000 : 1000 + more].max())
    assert (found.label == numbers(found) % 3).all()
    for class_counts in (np.bincount(found.label[~of_second]), np.bincount(found.label[of_second])):
        assert num == 1 or np.ptp(class_counts) <= 1 + class_counts.sum() / min(num, more)
    np.testing.assert_array_equal(labelled.mixed(first, second, share)[0].image, found.image)


def test_classes_keep_their_shares_where_images_lie_in_turns():
    """Every second image repeated would be one class alone."""
    found, _ = labelled.mixed(numbered(20, 0, classes=2), numbered(30, 1000, classes=2), 0.5)
    np.testing.assert_array_equal(np.bincount(found.label), [30, 30])


def test_soft_labels_go_with_their_images():
    first, second = numbered(4, 0), numbered(12, 1000)
    soft = [
        part._replace(label=np.eye(3, dtype=np.float32)[part.label]) for part in (first, second)
    ]
    found, _ = labelled.mixed(*soft, 0.5)
    assert found.label.shape == (24, 3)
    np.testing.assert_array_equal(found.label.argmax(1), numbers(found) % 3)


def test_a_share_of_nought_goes_by_numbers():
    first, second = numbered(3, 0), numbered(5, 1000)
    assert numbers(labelled.mixed(first, second, 0.0)[0]).tolist() == [0, 1, 2, *range(1000, 1005)]


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        labelled.mixed(numbered(3, 0), numbered(5, 1000), share)
