"""Hugging Face datasets of every form that the library writes, and what is refused in them."""

import sys

import numpy as np
import pytest
from PIL import Image

from ddpm_jax.data import hf, source

datasets = pytest.importorskip("datasets")

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
LABELS = np.arange(20) % 2
NAMES = ["cat", "dog"]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def rows(start=0, stop=20, label=None, **columns):
    """A dataset of images `start` to `stop`, with classes unless `label` is another feature."""
    label = label or datasets.ClassLabel(names=NAMES)
    features = {"image": datasets.Image(), "label": label}
    features |= {name: kind for name, (kind, _) in columns.items()}
    return datasets.Dataset.from_dict(
        {
            "image": [Image.fromarray(image) for image in IMAGES[start:stop]],
            "label": LABELS[start:stop].tolist(),
        }
        | {name: values for name, (_, values) in columns.items()},
        features=datasets.Features(features),
    )


def load(where, *, label="label", image_column="", validation=0.1, test=0.2):
    return hf.load(
        str(where),
        label=label,
        image_column=image_column,
        validation=validation,
        test=test,
        seed=0,
    )


def pixels(*parts):
    return sorted(image.tobytes() for part in parts for image in source.decode(part))


def in_order(images):
    return sorted(image.tobytes() for image in images)


def test_what_save_to_disk_wrote_is_divided_like_any_set_without_splits(tmp_path):
    rows().save_to_disk(str(tmp_path / "animals"))
    splits = load(tmp_path / "animals")
    assert [len(part.labels) for part in splits] == [14, 2, 4]
    assert splits.train.class_names == tuple(NAMES)
    assert pixels(*splits) == in_order(IMAGES)


def test_splits_that_the_dataset_has_are_kept(tmp_path):
    given = {"train": rows(0, 12), "validation": rows(12, 16), "test": rows(16, 20)}
    datasets.DatasetDict(given).save_to_disk(str(tmp_path / "animals"))
    splits = load(tmp_path / "animals")
    for part, (start, stop) in zip(splits, ((0, 12), (12, 16), (16, 20)), strict=True):
        assert pixels(part) == in_order(IMAGES[start:stop])


def hidden(start, stop):
    """As the test split of a competition comes."""
    return rows(start, stop).map(lambda row: {"label": -1})


@pytest.mark.parametrize("held_out", [(), ("validation",)])
def test_a_split_whose_labels_are_hidden_is_not_tested_on(tmp_path, held_out):
    given = {"train": rows(0, 12)} | {name: rows(12, 16) for name in held_out}
    datasets.DatasetDict(given | {"test": hidden(16, 20)}).save_to_disk(str(tmp_path / "animals"))
    splits = load(tmp_path / "animals", validation=0.25, test=0.25)
    assert [len(part.labels) for part in splits] == ([9, 3, 4] if held_out else [6, 3, 3])
    assert pixels(*splits) == in_order(IMAGES[: 16 if held_out else 12])


def test_training_images_need_labels(tmp_path):
    given = {"train": hidden(0, 12), "test": rows(16, 20)}
    datasets.DatasetDict(given).save_to_disk(str(tmp_path / "animals"))
    with pytest.raises(ValueError, match="split train, column label has rows without a class"):
        load(tmp_path / "animals")


def test_a_missing_split_is_taken_from_train(tmp_path):
    given = {"train": rows(0, 16), "test": rows(16, 20)}
    datasets.DatasetDict(given).save_to_disk(str(tmp_path / "animals"))
    splits = load(tmp_path / "animals", validation=0.25)
    assert [len(part.labels) for part in splits] == [12, 4, 4]
    assert pixels(splits.test) == in_order(IMAGES[16:])


def test_a_parquet_file_is_a_dataset(tmp_path):
    rows().to_parquet(str(tmp_path / "animals.parquet"))
    splits = load(tmp_path / "animals.parquet")
    assert len(splits.train.labels) == 14 and splits.train.class_names == tuple(NAMES)


def test_a_folder_of_pictures_is_a_dataset(tmp_path):
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        path = tmp_path / "animals" / NAMES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    splits = load(tmp_path / "animals")
    assert splits.train.class_names == tuple(NAMES)
    assert sum(len(part.labels) for part in splits) == 20


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        ("string", ["b", "a"] * 10, ("a", "b")),
        ("int64", [7, 3] * 10, ("3", "7")),
    ],
)
def test_classes_may_be_text_or_numbers(kind, values, names, tmp_path):
    rows(kind=(datasets.Value(kind), values)).save_to_disk(str(tmp_path / "animals"))
    expect_classes(load(tmp_path / "animals", label="kind"), names, values)


@pytest.mark.parametrize(
    ("kind", "train", "test", "names"),
    [
        ("string", ["b", "c"], ["a", "c"], ("a", "b", "c")),
        ("int64", [10, 7, 3, 7], [10, 7], ("3", "7", "10")),
    ],
)
def test_a_class_has_one_number_in_all_splits_though_some_lack_others(
    kind, train, test, names, tmp_path
):
    values = train * (16 // len(train)) + test * (4 // len(test))
    given = {
        name: rows(start, stop, kind=(datasets.Value(kind), values[start:stop]))
        for name, start, stop in (("train", 0, 16), ("test", 16, 20))
    }
    datasets.DatasetDict(given).save_to_disk(str(tmp_path / "animals"))
    expect_classes(load(tmp_path / "animals", label="kind"), names, values)


def expect_classes(splits, names, values):
    """Image i of `IMAGES` is of the class that is called `values[i]`."""
    wanted = {image.tobytes(): str(value) for image, value in zip(IMAGES, values, strict=True)}
    for part in splits:
        assert part.class_names == names
        found = [names[label] for label in part.labels]
        assert found == [wanted[image.tobytes()] for image in source.decode(part)]


@pytest.mark.parametrize(
    ("other", "got"),
    [
        (datasets.ClassLabel(names=["dog", "cat"]), r"\['dog', 'cat'\]"),
        (datasets.Value("int64"), "whole numbers"),
        (None, "not given"),
    ],
)
def test_splits_with_other_classes_are_refused(other, got, tmp_path):
    last = rows(16, 20, other) if other else rows(16, 20).remove_columns("label")
    for name, part in (("train", rows(0, 16)), ("test", last)):
        part.save_to_disk(str(tmp_path / "animals" / name))
    (tmp_path / "animals/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    message = rf"the classes of split test are {got}, wanted \['cat', 'dog'\], as in split train"
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "animals")


def test_the_column_of_the_images_can_be_named(tmp_path):
    other = [Image.fromarray(255 - image) for image in IMAGES]
    rows(negative=(datasets.Image(), other)).save_to_disk(str(tmp_path / "animals"))
    with pytest.raises(ValueError, match=r"columns image, label, negative.*data\.image_column"):
        load(tmp_path / "animals")
    splits = load(tmp_path / "animals", image_column="negative")
    assert pixels(*splits) == in_order(255 - IMAGES)


def test_an_unlabelled_dataset_has_one_class(tmp_path):
    rows().remove_columns("label").to_parquet(str(tmp_path / "animals.parquet"))
    part = load(tmp_path / "animals.parquet").train
    assert part.class_names == ("0",) and set(part.labels) == {0}


REFUSED = {
    "no images": (lambda: rows().remove_columns("image"), r"has the columns label, of which \[\]"),
    "two classes": (
        lambda: rows(
            breed=(datasets.ClassLabel(names=NAMES), LABELS.tolist())
        ).rename_column("label", "kind"),
        r"has the classes kind, breed; name one in data\.label",
    ),
    "a row without a class": (
        lambda: rows(name=(datasets.Value("string"), [None] + ["a"] * 19)).remove_columns("label")
        .rename_column("name", "label"),
        "column label has rows without a class",
    ),
    "fractions": (lambda: rows(label=datasets.Value("float32")), "wanted ClassLabel, text or whole"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_not_clear_is_refused(case, tmp_path):
    make, message = REFUSED[case]
    make().save_to_disk(str(tmp_path / "animals"))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "animals")


def test_a_row_without_an_image_is_named(tmp_path):
    pictures = [Image.fromarray(image) for image in IMAGES[:19]] + [None]
    rows(picture=(datasets.Image(), pictures)).remove_columns("image").save_to_disk(
        str(tmp_path / "animals")
    )
    splits = load(tmp_path / "animals")
    with pytest.raises(ValueError, match="has no image in row 19"):
        pixels(*splits)


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ImportError, match=r"needs the package datasets: pip install 'ddpm_jax\[hf\]'"
    ):
        load(tmp_path / "animals")
