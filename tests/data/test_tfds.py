"""TFDS: its own mocks for the real shapes, an archive of CIFAR-10's format, and the real thing."""

import io
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import requests
import tensorflow_datasets
from mocked_tfds import mocked

from ddpm_jax.data import source, tfds

TRAIN_TEST = ("train", "test")
ALL_THREE = ("train", "validation", "test")


@pytest.mark.parametrize(
    ("name", "official", "shape", "num_classes", "lengths"),
    [
        ("mnist", TRAIN_TEST, (28, 28, 1), 10, [15, 5, 20]),
        ("cifar10", TRAIN_TEST, (32, 32, 3), 10, [15, 5, 20]),
        ("oxford_iiit_pet", TRAIN_TEST, (None, None, 3), 37, [15, 5, 20]),
        ("oxford_flowers102", ALL_THREE, (None, None, 3), 102, [20, 20, 20]),
        # The test labels of such sets are secret, so that the official validation split is the test.
        ("imagenette", ("train", "validation"), (None, None, 3), 10, [15, 5, 20]),
        ("eurosat", ("train",), (64, 64, 3), 10, [10, 5, 5]),
    ],
)
def test_the_official_splits_are_kept_and_missing_ones_come_from_train(
    tmp_path, name, official, shape, num_classes, lengths
):
    with mocked(name, tmp_path, official):
        splits = tfds.load(name, data_dir=tmp_path, validation=0.25, test=0.25)
        assert [len(split.labels) for split in splits] == lengths
        for split in splits:
            image = split.read(3)
            assert image.dtype == np.uint8
            assert all(a in (b, None) for a, b in zip(shape, image.shape, strict=False))
            assert image.shape[2] == shape[2]
            assert split.labels.dtype == np.int32
            assert len(split.class_names) == num_classes
        square = source.in_memory(source.resize(splits.train, 16, 3))
        assert square.images.shape == (lengths[0], 16, 16, 3)


def test_breeds_are_found_by_name(tmp_path):
    with mocked("oxford_iiit_pet", tmp_path, TRAIN_TEST, num_examples=400):
        train = tfds.load("oxford_iiit_pet", data_dir=tmp_path).train
        cats = source.keep_classes(train, ("Bengal", "Birman"))
        # TFDS's own order of the 37 breeds is alphabetic in the files' names
        old = [train.class_names.index("Bengal"), train.class_names.index("Birman")]
        assert len(cats.labels) == np.isin(train.labels, old).sum() > 0
        species = tfds.load("oxford_iiit_pet", data_dir=tmp_path, label="species").train
        assert len(species.class_names) == 2


def test_an_attribute_of_celeb_a_is_a_class(tmp_path):
    with mocked("celeb_a", tmp_path, ALL_THREE):
        smiling = tfds.load("celeb_a", data_dir=tmp_path, label="attributes/Smiling").train
        assert smiling.class_names == ("not Smiling", "Smiling")
        assert set(smiling.labels) == {0, 1}
        assert smiling.read(0).shape == (218, 178, 3)
        for label, message in [
            ("label", r"no feature 'label' to classify by; it has .*attributes/Smiling"),
            ("attributes/Smiling/much", "no feature 'attributes/Smiling/much'"),
            ("landmarks/nose_x", "wanted a class or a yes/no"),
            ("attributes", "wanted a class or a yes/no"),
        ]:
            with pytest.raises(ValueError, match=message):
                tfds.load("celeb_a", data_dir=tmp_path, label=label)


def test_a_dataset_without_train_is_refused(tmp_path):
    with mocked("cifar10_1", tmp_path, ("test",)):
        with pytest.raises(ValueError, match="cifar10_1 has no split train; it has test"):
            tfds.load("cifar10_1", data_dir=tmp_path)


def test_a_dataset_without_images_is_refused(tmp_path):
    with mocked("imdb_reviews", tmp_path, TRAIN_TEST):
        with pytest.raises(ValueError, match="imdb_reviews has no feature 'image'"):
            tfds.load("imdb_reviews", data_dir=tmp_path)


def test_preparing_without_tensorflow_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"mnist is not prepared in .*pip install tensorflow"):
        tfds.load("mnist", data_dir=tmp_path)


@pytest.fixture
def download(monkeypatch):
    """Lists what TFDS was asked to download, which it fails to do."""
    asked = []

    def download_and_prepare(self, **options):
        asked.append(self.name)
        raise ConnectionError("Name or service not known")

    builder = tensorflow_datasets.core.DatasetBuilder
    monkeypatch.setattr(builder, "download_and_prepare", download_and_prepare)
    return asked


def answering(monkeypatch, answer):
    """Lists the addresses that are asked whether they answer."""
    asked = []

    def head(url, *, timeout):
        assert timeout <= 10
        asked.append(url)
        if isinstance(answer, Exception):
            raise answer

    monkeypatch.setattr(requests, "head", head)
    return asked


@pytest.mark.parametrize("failure", [requests.ConnectionError(), requests.ConnectTimeout()])
def test_without_a_network_nothing_is_downloaded_and_a_line_says_what_to_do(
    tmp_path, monkeypatch, capsys, download, failure
):
    asked = answering(monkeypatch, failure)
    with pytest.raises(ConnectionError, match=r"cs\.toronto\.edu: Connect.*data\.manual_dir"):
        tfds.load("cifar10", data_dir=tmp_path)
    assert asked == [CIFAR_URL] and download == []
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "[data]" in line]
    # The archive has 170,052,171 bytes.
    assert "cifar10, at most 162 MiB from www.cs.toronto.edu, into" in line
    assert str(tmp_path) in line and "put cifar-10-binary.tar.gz into a folder" in line


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch, download):
    answering(monkeypatch, None)
    with pytest.raises(OSError, match=r"service not known.*manual_dir \(now None\)"):
        tfds.load("mnist", data_dir=tmp_path)
    assert download == ["mnist"]


def test_no_host_is_asked_for_what_the_user_brings(tmp_path, monkeypatch, download):
    asked = answering(monkeypatch, requests.ConnectionError())
    with pytest.raises(OSError, match="could not be downloaded and prepared"):
        tfds.load("imagenet2012", data_dir=tmp_path)
    assert asked == [] and download == ["imagenet2012"]


def test_no_host_is_asked_for_what_was_downloaded_already(tmp_path, monkeypatch, download):
    """Under the name that TFDS 4.9 gives it."""
    asked = answering(monkeypatch, requests.ConnectionError())
    info = tensorflow_datasets.builder("cifar10", data_dir=tmp_path).url_infos[CIFAR_URL]
    name = tensorflow_datasets.core.download.resource.get_dl_fname(CIFAR_URL, info.checksum)
    (tmp_path / "downloads" / "cifar10").mkdir(parents=True)
    (tmp_path / "downloads" / "cifar10" / name).touch()
    with pytest.raises(OSError, match="could not be downloaded and prepared"):
        tfds.load("cifar10", data_dir=tmp_path)
    assert asked == [] and download == ["cifar10"]


CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


def cifar_archive(path, per_file):
    """Random images in the format of CIFAR-10's binary version: label, then R, G, B planes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, per_file, 3, 32, 32), np.uint8)
    labels = np.tile(np.arange(10, dtype=np.uint8), (6, per_file // 10))
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    contents = {
        name: np.concatenate([label[:, None], image.reshape(per_file, -1)], axis=1).tobytes()
        for name, image, label in zip(names, images, labels, strict=True)
    }
    contents["batches.meta.txt"] = "\n".join(CIFAR_NAMES).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return images.transpose(0, 1, 3, 4, 2), labels


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """An archive that TFDS's own builder takes for CIFAR-10, once its checksum is on record."""
    manual_dir = tmp_path / "archives"
    manual_dir.mkdir()
    archive = manual_dir / "cifar-10-binary.tar.gz"
    images, labels = cifar_archive(archive, per_file=20)
    checksums = tensorflow_datasets.core.download.checksums
    url_info = checksums.compute_url_info(archive)
    builder = type(tensorflow_datasets.builder("cifar10", data_dir=tmp_path))
    monkeypatch.setattr(builder, "url_infos", {CIFAR_URL: url_info})
    return manual_dir, images, labels


def test_an_archive_the_user_has_is_prepared_and_read_without_the_network(
    cifar, tmp_path, monkeypatch
):
    manual_dir, images, labels = cifar
    asked = answering(monkeypatch, requests.ConnectionError())
    monkeypatch.setattr(tfds, "RECORDS_A_READ", 7)  # several reads, the last of them shorter
    splits = tfds.load("cifar10", data_dir=tmp_path / "tfds", manual_dir=manual_dir, seed=1)
    assert [len(split.labels) for split in splits] == [90, 10, 20]
    label_of = {
        image.tobytes(): (label, part == 5)
        for part in range(6)
        for image, label in zip(images[part], labels[part], strict=True)
    }
    seen = []
    for split in splits:
        assert split.class_names == tuple(CIFAR_NAMES)
        for i, label in enumerate(split.labels):
            image = split.read(i).tobytes()
            assert label_of[image] == (label, split is splits.test)
            seen.append(image)
    assert len(set(seen)) == 120  # every image is in one split only
    assert asked == []


def test_tensorflow_is_kept_off_the_gpus(cifar, tmp_path, monkeypatch):
    import tensorflow as tf

    calls = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *a: calls.append(a))
    tfds.prepared("cifar10", data_dir=tmp_path / "tfds", manual_dir=cifar[0])
    tfds.prepared("cifar10", data_dir=tmp_path / "tfds", manual_dir=cifar[0])
    assert calls == [([], "GPU")]  # once: the second time there is nothing to prepare


def test_an_archive_with_a_wrong_checksum_is_refused(tmp_path):
    cifar_archive(tmp_path / "cifar-10-binary.tar.gz", per_file=10)
    with pytest.raises(OSError, match="cifar10 could not be downloaded and prepared"):
        tfds.load("cifar10", data_dir=tmp_path / "tfds", manual_dir=tmp_path)


def test_files_without_random_access_are_refused(cifar, tmp_path):
    data_dir = tmp_path / "tfds"
    config = tensorflow_datasets.download.DownloadConfig(manual_dir=cifar[0])
    builder = tensorflow_datasets.builder("cifar10", data_dir=data_dir, file_format="tfrecord")
    builder.download_and_prepare(download_config=config)
    with pytest.raises(ValueError, match=r"cifar10 cannot be read at random.*another data_dir"):
        tfds.load("cifar10", data_dir=data_dir)


def test_an_unknown_dataset_is_named(tmp_path):
    with pytest.raises(tensorflow_datasets.core.DatasetNotFoundError, match="cifar11"):
        tfds.load("cifar11", data_dir=tmp_path)


class WithoutLabels(tensorflow_datasets.core.GeneratorBasedBuilder):
    """A dataset of ten images a split; as many as `missing` says have no label."""

    VERSION = tensorflow_datasets.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tensorflow_datasets.features.Image(shape=(8, 8, 3)),
            "label": tensorflow_datasets.features.ClassLabel(names=["cat", "dog"]),
        }
        features = tensorflow_datasets.features.FeaturesDict(features)
        return tensorflow_datasets.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.missing}

    def _generate_examples(self, split):
        for i in range(10):
            label = -1 if i < self.missing[split] else i % 2
            yield i, {"image": np.full((8, 8, 3), i, np.uint8), "label": label}


def missing(monkeypatch, **numbers):
    monkeypatch.setattr(WithoutLabels, "missing", numbers, raising=False)


@pytest.mark.parametrize(
    ("validation", "names", "lengths"),
    [(0, ("train", "train", "validation"), [8, 2, 10]), (10, ("train",) * 3, [6, 2, 2])],
)
def test_a_split_without_labels_counts_as_not_there(
    validation, names, lengths, tmp_path, monkeypatch
):
    missing(monkeypatch, train=0, validation=validation, test=10)
    splits = tfds.load("without_labels", data_dir=tmp_path, validation=0.2, test=0.2)
    assert [part.name for part in splits] == [f"without_labels/{name}" for name in names]
    assert [len(part.labels) for part in splits] == lengths
    assert all(set(part.labels) <= {0, 1} for part in splits)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (0, 3, "3 of 10 labels of without_labels/test are -1; wanted none or all"),
        (10, 0, "the images of without_labels/train have no label label: all are -1"),
    ],
)
def test_missing_labels_that_would_be_trained_on_or_tested_on_are_refused(
    train, test, message, tmp_path, monkeypatch
):
    missing(monkeypatch, train=train, test=test)
    with pytest.raises(ValueError, match=message):
        tfds.load("without_labels", data_dir=tmp_path)


def test_what_another_process_has_prepared_meanwhile_is_read(tmp_path, monkeypatch):
    """TFDS moves its finished folder to its place, and fails if there is one."""
    missing(monkeypatch, train=0, test=0)
    prepare = WithoutLabels.download_and_prepare

    def second(self, **options):
        prepare(type(self)(data_dir=tmp_path, file_format="array_record"), **options)
        raise FileExistsError(17, "File exists", self.data_dir)

    monkeypatch.setattr(WithoutLabels, "download_and_prepare", second)
    splits = tfds.load("without_labels", data_dir=tmp_path)
    assert sorted(image[0, 0, 0] for image in source.decode(splits.test)) == list(range(10))


@pytest.mark.slow
def test_real_fashion_mnist(fashion_mnist):
    splits = tfds.load("fashion_mnist", data_dir=fashion_mnist, validation=0.1)
    assert [len(split.labels) for split in splits] == [54000, 6000, 10000]
    for split in splits:
        assert split.class_names[6] == "Shirt"
        np.testing.assert_array_equal(np.bincount(split.labels), len(split.labels) // 10)
    train, validation, test = (source.decode(split) for split in splits)
    # The mean and deviation that everybody normalizes Fashion-MNIST by: 0.2860, 0.3530
    whole = np.concatenate([train, validation]) / 255
    assert whole.shape == (60000, 28, 28, 1)
    assert abs(whole.mean() - 0.2860) < 1e-4
    assert abs(whole.std() - 0.3530) < 1e-4
    np.testing.assert_array_equal(splits.test.read(77), test[77])


@pytest.mark.slow
def test_prepared_files_are_read_without_tensorflow(fashion_mnist, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError('not installed')")
    program = (
        "import sys\n"
        "from ddpm_jax.data import tfds\n"
        "splits = tfds.load('fashion_mnist', data_dir=sys.argv[1])\n"
        "print(splits.test.read(0).shape, splits.train.class_names[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, fashion_mnist],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "(28, 28, 1) T-shirt/top\n", run.stderr


def test_loading_the_data_island_imports_neither_tfds_nor_tensorflow():
    program = (
        "import sys\n"
        "from ddpm_jax.data import augment, digits, folder, npz, order, source, tfds\n"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
