import os

import numpy as np
import pytest
from PIL import Image

from configs import default
from ddpm_jax.assembly import datasets
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


def test_hidden_files_are_no_images(tmp_path):
    """As macOS writes one beside each file on a disk that is not its own."""
    image = write(tmp_path / "cat" / "1.png", color())
    (tmp_path / "cat" / "._1.png").write_bytes(b"\x00\x05\x16\x07")
    read = folder.load(tmp_path)
    assert len(read.labels) == 1
    np.testing.assert_array_equal(read.read(0), image)
    (tmp_path / "cat" / "1.png").unlink()
    with pytest.raises(ValueError, match="cat has no image"):
        folder.load(tmp_path)


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


def divide(root, parts, classes=("cat", "dog"), num=3):
    """Images of odd sizes; those of one class and part have one brightness of their own."""
    written = {}
    for p, part in enumerate(parts):
        for c, name in enumerate(classes):
            pixels = np.full((5 + p, 7 + c, 3), 40 * p + 20 * c, np.uint8)
            for i in range(num):
                write(root / part / name / f"{i}.png", pixels)
            written[part, name] = pixels
    return written


@pytest.mark.parametrize("third", ["validation", "val"])
def test_a_divided_folder_keeps_its_parts(tmp_path, third):
    written = divide(tmp_path, ("train", "test", third))
    (tmp_path / ".git").mkdir()
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "list.txt").write_text("not an image")
    (tmp_path / "train" / "cat" / "deeper").mkdir()
    parts = folder.divided(tmp_path)
    assert set(parts) == {"train", "test", "validation"}
    for name, part in parts.items():
        assert part.class_names == ("cat", "dog") and part.name == tmp_path.name
        assert part.labels.tolist() == [0, 0, 0, 1, 1, 1]
        theirs = third if name == "validation" else name
        np.testing.assert_array_equal(part.read(0), written[theirs, "cat"])
        np.testing.assert_array_equal(part.read(5), written[theirs, "dog"])


def splits_of(root):
    config = default.get_config()
    config.data.source, config.data.channels = f"folder:{root}", 3
    return datasets.build_splits(config.data, 0)


def test_a_divided_folder_without_validation_images_takes_them_from_training(tmp_path):
    written = divide(tmp_path, ("train", "test"), num=20)
    splits = splits_of(tmp_path)
    assert [source.class_counts(split).tolist() for split in splits] == [
        [18] * 2,
        [2] * 2,
        [20] * 2,
    ]
    values = [{int(v) for v in np.unique(source.decode(split))} for split in splits]
    of = {
        part: {int(written[part, name][0, 0, 0]) for name in ("cat", "dog")}
        for part in ("train", "test")
    }
    assert values == [of["train"], of["train"], of["test"]]


def test_a_divided_folder_with_validation_images_is_taken_as_it_is(tmp_path):
    divide(tmp_path, ("train", "test", "val"), num=4)
    assert [len(split.labels) for split in splits_of(tmp_path)] == [8, 8, 8]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_that_is_not_in_every_part_is_named(tmp_path, part):
    divide(tmp_path, ("train", "test"))
    write(tmp_path / part / "bird" / "1.png", color())
    other = {"train": "test", "test": "train"}[part]
    with pytest.raises(ValueError, match=rf"{other} has no class folder 'bird'"):
        folder.divided(tmp_path)


def test_classes_that_are_called_train_and_test_stay_classes(tmp_path):
    for name in ("train", "test"):
        for i in range(10):
            write(tmp_path / name / f"{i}.png", color())
    (tmp_path / "train" / "more").mkdir()
    (tmp_path / "test" / "more").mkdir()
    assert folder.divided(tmp_path) is None
    assert splits_of(tmp_path).train.class_names == ("test", "train")


@pytest.mark.parametrize("parts", [("train",), ("train", "test", "extra"), ("train", "val")])
def test_other_names_are_classes_as_before(tmp_path, parts):
    divide(tmp_path, parts)
    assert folder.divided(tmp_path) is None
    with pytest.raises(ValueError, match="has no image"):
        splits_of(tmp_path)


def test_links_of_a_part_may_lead_to_another_part_but_not_out(tmp_path):
    divide(tmp_path / "pets", ("train", "test"))
    link = tmp_path / "pets" / "train" / "cat" / "9.png"
    link.symlink_to("../../test/cat/0.png")
    assert len(folder.divided(tmp_path / "pets")["train"].labels) == 7
    link.unlink()
    write(tmp_path / "secret.png", color())
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"9\.png leads out of the folder"):
        folder.divided(tmp_path / "pets")
