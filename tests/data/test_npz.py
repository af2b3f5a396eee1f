import json

import numpy as np
import pytest

from ddpm_jax.data import npz, source

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)
NAMES = ("cat", "dog", "Schrödinger's")
META = {"seed": 3, "sampler": "ddim", "steps": [1, 2]}


@pytest.mark.parametrize("arr_keys", [False, True])
def test_what_is_saved_is_read_back(tmp_path, arr_keys):
    path = tmp_path / "synthetic.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META, arr_keys=arr_keys)
    read = npz.load(path)
    np.testing.assert_array_equal(source.decode(read), IMAGES)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.labels.dtype == np.int32
    assert read.class_names == NAMES
    assert read.name == "synthetic"
    assert npz.load_meta(path) == META


@pytest.mark.parametrize(
    ("arr_keys", "keys"),
    [
        (False, {"image", "label", "class_names", "meta"}),
        (True, {"arr_0", "arr_1", "class_names", "meta"}),
    ],
)
def test_plain_numpy_opens_it_without_pickle(tmp_path, arr_keys, keys):
    path = tmp_path / "a.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META, arr_keys=arr_keys)
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == keys
        assert all(arrays[key].dtype != object for key in keys)
        assert json.loads(arrays["meta"].item()) == META


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        npz.save(tmp_path / name, IMAGES, LABELS, NAMES, META)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META)
    before = path.read_bytes()

    def half(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="No space left"):
        npz.save(path, IMAGES[:2], LABELS[:2], NAMES, META)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_openai_samples_without_labels_are_one_class(tmp_path):
    np.savez(tmp_path / "samples.npz", IMAGES)
    read = npz.load(tmp_path / "samples.npz")
    np.testing.assert_array_equal(read.labels, np.zeros(6))
    assert read.class_names == ("0",)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_labels_of_any_integer_type_and_either_packing(tmp_path, dtype, save):
    save(tmp_path / "a.npz", arr_0=IMAGES, arr_1=LABELS.astype(dtype))
    read = npz.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(read.read(4), IMAGES[4])


def test_fortran_order_is_read_as_it_is_meant(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.asfortranarray(IMAGES), label=LABELS)
    np.testing.assert_array_equal(source.decode(npz.load(tmp_path / "a.npz")), IMAGES)


def test_npz_needs_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        npz.load(tmp_path / "none.npz")
