import numpy as np
import pytest
from PIL import Image

from ddpm_jax.data import folder, source

RNG = np.random.default_rng(0)


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return image


def color(h=6, w=5):
    return RNG.integers(0, 256, (h, w, 3), np.uint8)


def test_sub_folders_are_classes_in_sorted_order(tmp_path):
    dog = write(tmp_path / "dog" / "1.png", color())
    cat_b = write(tmp_path / "cat" / "b.PNG", color(9, 7))
    cat_a = write(tmp_path / "cat" / "a.png", RNG.integers(0, 256, (4, 4), np.uint8))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.md").write_text("not a class")
    read = folder.load(tmp_path)
    assert read.class_names == ("cat", "dog")
    assert read.name == tmp_path.name
    np.testing.assert_array_equal(read.labels, [0, 0, 1])
    for i, expected in enumerate([cat_a[..., None], cat_b, dog]):
        np.testing.assert_array_equal(read.read(i), expected)


def test_images_of_all_kinds_come_to_one_size(tmp_path):
    write(tmp_path / "a" / "1.jpg", color(30, 20))
    write(tmp_path / "a" / "2.png", RNG.integers(0, 256, (12, 40), np.uint8))
    write(tmp_path / "b" / "3.png", RNG.integers(0, 256, (8, 8, 4), np.uint8))
    read = source.in_memory(source.resize(folder.load(tmp_path), 8, 3))
    assert read.images.shape == (3, 8, 8, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "is not a folder"),
        (lambda root: root.mkdir(), "has no sub-folder"),
        (lambda root: (root / "cat").mkdir(parents=True), "cat has no image"),
    ],
)
def test_a_folder_without_classes_or_images_is_refused(tmp_path, make, message):
    make(tmp_path / "pets")
    with pytest.raises(ValueError, match=message):
        folder.load(tmp_path / "pets")
