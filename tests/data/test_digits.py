import numpy as np
import sklearn.datasets

from ddpm_jax.data import digits, source


def test_digits_are_all_there_at_full_range():
    splits = digits.load()
    assert [len(s.labels) for s in splits] == [1258, 180, 359]
    images = np.concatenate([source.decode(s) for s in splits])
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.uint8
    ink = sklearn.datasets.load_digits().images
    # 16 levels of ink, each 255 / 16 = 15.9375 wide
    assert images.max() == 255
    assert abs(images.mean() - ink.mean() * 15.9375) < 0.1
    for s in splits:
        assert s.class_names == tuple("0123456789")
        assert s.labels.dtype == np.int32
        assert np.bincount(s.labels).min() >= len(s.labels) / 10 * 0.9


def test_a_digit_keeps_its_label():
    bunch = sklearn.datasets.load_digits()
    label_of = {
        np.rint(i * 255 / 16).astype(np.uint8).tobytes(): t
        for i, t in zip(bunch.images, bunch.target, strict=True)
    }
    for s in digits.load(seed=5):
        for i in range(len(s.labels)):
            assert label_of[s.read(i).tobytes()] == s.labels[i]


def test_no_test_digit_is_in_train_or_validation():
    train, validation, test = ({i.tobytes() for i in source.decode(s)} for s in digits.load())
    assert not test & (train | validation)
    assert not train & validation
