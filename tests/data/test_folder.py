import os

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


def test_a_damaged_image_is_named_when_it_is_read(tmp_path):
    write(tmp_path / "cat" / "1.png", color())
    (tmp_path / "cat" / "2.png").write_bytes((tmp_path / "cat" / "1.png").read_bytes()[:60])
    read = folder.load(tmp_path)
    read.read(0)
    with pytest.raises(ValueError, match=r"cat.2\.png: "):
        read.read(1)
    with pytest.raises(ValueError, match=r"cat.2\.png: "):
        source.decode(read)


def test_links_may_lead_about_the_folder_but_not_out_of_it(tmp_path):
    secret = tmp_path / "secret.png"
    write(secret, color())
    inside = write(tmp_path / "pets" / "cat" / "1.png", color())
    (tmp_path / "pets" / "cat" / "2.png").symlink_to("1.png")
    np.testing.assert_array_equal(folder.load(tmp_path / "pets").read(1), inside)
    link = tmp_path / "pets" / "cat" / "3.png"
    link.symlink_to(secret)
    with pytest.raises(ValueError, match=r"3\.png leads out of the folder, to .*secret\.png"):
        folder.load(tmp_path / "pets")
    link.unlink()
    write(tmp_path / "dogs" / "1.png", color())
    (tmp_path / "pets" / "dog").symlink_to(tmp_path / "dogs")
    with pytest.raises(ValueError, match=r"1\.png leads out of the folder"):
        folder.load(tmp_path / "pets")


def test_a_folder_given_by_a_link_is_read(tmp_path):
    write(tmp_path / "pets" / "cat" / "1.png", color())
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    assert folder.load(tmp_path / "link").name == "pets"


def test_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "cat").mkdir()
    os.mkfifo(tmp_path / "cat" / "1.png")
    with pytest.raises(ValueError, match=r"1\.png is not a regular file; wanted an image"):
        folder.load(tmp_path).read(0)


def test_a_file_too_large_is_not_read(tmp_path):
    (tmp_path / "cat").mkdir()
    with open(tmp_path / "cat" / "1.png", "wb") as file:
        file.truncate(2**28 + 1)  # sparse: no disk is used
    with pytest.raises(ValueError, match=r"1\.png has 268435457 bytes; at most 268435456 are read"):
        folder.load(tmp_path).read(0)


def test_a_class_name_must_be_printable(tmp_path):
    write(tmp_path / "cat\x1b[2J" / "1.png", color())
    with pytest.raises(ValueError, match=r"'cat\\x1b\[2J' has a name that cannot be printed"):
        folder.load(tmp_path)
