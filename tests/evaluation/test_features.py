"""The network here is the mean color, so that every feature can be checked by hand."""

import numpy as np
import pytest

from ddpm_jax.evaluation import features, frechet


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2345, 2, 2, 3), dtype=np.uint8)


class MeanColor:
    """Counts the images it has seen, and fails when it has seen `limit`."""

    def __init__(self, batch_size, limit=np.inf):
        self.batch_size, self.limit, self.seen = batch_size, limit, 0

    def __call__(self, batch):
        assert len(batch) == self.batch_size
        self.seen += len(batch)
        if self.seen > self.limit:
            raise KeyboardInterrupt
        return batch.mean(axis=(1, 2), dtype=np.float32)


def keep(network, images, folder, **settings):
    settings = {"batch_size": network.batch_size, "network_digest": "mean", **settings}
    return features.extract(network, images, folder=folder, **settings)


@pytest.mark.parametrize("batch_size", [1000, 300, 4000])
def test_features_are_in_the_order_of_the_images_whatever_the_batch(images, batch_size):
    steps = []
    got = features.extract(
        MeanColor(batch_size),
        images,
        batch_size=batch_size,
        progress=lambda done, total: steps.append((done, total)),
    )
    np.testing.assert_array_equal(got, images.mean(axis=(1, 2), dtype=np.float32))
    assert steps == sorted(steps)
    assert steps[-1] == (2345, 2345)


def test_an_interrupted_run_resumes_where_it_stopped(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        keep(MeanColor(100, limit=1500), images, tmp_path)
    network = MeanColor(50)
    got = keep(network, images, tmp_path)
    np.testing.assert_array_equal(got, images.mean(axis=(1, 2), dtype=np.float32))
    assert network.seen == 1350  # 1000 to 2345, the last batch filled up
    again = MeanColor(50)
    np.testing.assert_array_equal(keep(again, images, tmp_path), got)
    assert again.seen == 0


def test_other_images_or_another_network_never_get_kept_features(images, tmp_path):
    keep(MeanColor(500), images, tmp_path)
    changed = images.copy()
    changed[2344, 1, 1, 2] ^= 1
    network = MeanColor(500)
    keep(network, changed, tmp_path)
    assert network.seen > 2000
    network = MeanColor(500)
    keep(network, images, tmp_path, network_digest="another")
    assert network.seen > 2000
    reshaped = images.reshape(2345, 1, 4, 3)
    assert features.digest(reshaped) != features.digest(images)


def test_damaged_files_are_named_and_not_used(images, tmp_path):
    keep(MeanColor(500), images, tmp_path)
    (path,) = tmp_path.rglob("00001000.npy")
    np.save(path, np.zeros((999, 3), np.float32))
    with pytest.raises(ValueError, match=r"00001000\.npy has shape \(999, 3\), wanted \(1000, D\)"):
        keep(MeanColor(500), images, tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"00001000\.npy is damaged"):
        keep(MeanColor(500), images, tmp_path)


def test_moments_are_made_once_for_the_same_images_and_network(images, tmp_path):
    values = images.mean(axis=(1, 2), dtype=np.float32)
    calls = []

    def made():
        calls.append(1)
        return values

    for _ in range(2):
        got = features.reference_moments(made, images, folder=tmp_path, network_digest="mean")
        for part, expected in zip(got, frechet.moments(values), strict=True):
            np.testing.assert_array_equal(part, expected)
    assert len(calls) == 1
    features.reference_moments(made, images, folder=tmp_path, network_digest="another")
    features.reference_moments(made, images[1:], folder=tmp_path, network_digest="mean")
    assert len(calls) == 3


def test_what_cannot_be_filed_is_refused(images, tmp_path):
    with pytest.raises(ValueError, match="no images"):
        features.extract(MeanColor(10), images[:0], batch_size=10)
    with pytest.raises(ValueError, match="needs a network_digest"):
        keep(MeanColor(10), images, tmp_path, network_digest="")


def test_moments_that_an_earlier_version_kept_are_made_again(images, tmp_path):
    def made():
        return images.mean(axis=(1, 2), dtype=np.float32)

    new = features.reference_moments(made, images, folder=tmp_path, network_digest="mean")
    (path,) = tmp_path.glob("*.npz")
    np.savez(path, mean=new.mean, covariance=new.covariance, num_images=new.num_images)
    again = features.reference_moments(made, images, folder=tmp_path, network_digest="mean")
    np.testing.assert_array_equal(again.factor, new.factor)
    assert "factor" in np.load(path)
