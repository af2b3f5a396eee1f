"""Hugging Face datasets, by name or from disk. Needs the extra `hf`; runs no code of a dataset."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ddpm_jax.data import division, folder, image_file
from ddpm_jax.data.source import Source, Splits

VALIDATION = ("validation", "valid", "val")


def load(
    where: str, *, label: str, image_column: str, validation: float, test: float, seed: int
) -> Splits:
    """Splits that the dataset lacks are taken from its first one.

    `where`: a name on the hub, a folder (also of `save_to_disk`) or a Parquet file. `label`: the column of
    the classes; the only ClassLabel if it has no such column. Text and whole numbers are numbered in sorted
    order, over all splits. A split whose labels are all -1, as those of test images that are hidden, is left
    out. Raises ImportError naming the extra, and ValueError listing the columns if it is not clear which are
    meant, or if the splits' classes do not have the same names or kind.
    """
    opened = _open(where)
    columns = {name: _columns(part, where, label, image_column) for name, part in opened.items()}
    first = "train" if "train" in opened else next(iter(opened))
    opened = {
        name: part
        for name, part in opened.items()
        if name == first or not _hides(part, columns[name][1])
    }
    labels, names = _labels(opened, {name: column for name, (_, column) in columns.items()}, where)
    parts = {
        name: _source(part, where, columns[name][0], labels[name], names)
        for name, part in opened.items()
    }
    given = next((parts[name] for name in VALIDATION if name in parts), None)
    train = parts[first]
    tested = parts.get("test")
    if "test" in columns and tested is None:  # it is hidden: test on the images for validation
        tested, given = given, None
    if tested is train:
        tested = None
    if given is train:
        given = None
    taken = [share for share, has in ((validation, given), (test, tested)) if has is None]
    rest, *cut = division.split(train, (1 - sum(taken), *taken), seed) if taken else [train]
    return Splits(rest, given or cut.pop(0), tested or cut.pop(0))


def _open(where: str) -> dict[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"hf:{where} needs the package datasets: pip install 'ddpm_jax[hf]'"
        ) from error
    path = pathlib.Path(where)
    if path.is_file():
        found = datasets.load_dataset("parquet", data_files=str(path))
    elif path.is_dir() and any(
        (path / name).exists() for name in ("dataset_dict.json", "state.json")
    ):
        found = datasets.load_from_disk(str(path))
    else:
        found = datasets.load_dataset(where)
    return dict(found) if isinstance(found, dict) else {"train": found}


def _columns(part: Any, where: str, label: str, image_column: str) -> tuple[str, str]:
    """The column of the images and that of the classes, "" if there is none."""
    import datasets

    kinds = part.features
    images = [name for name, kind in kinds.items() if isinstance(kind, datasets.Image)]
    image = image_column or (images[0] if len(images) == 1 else "")
    if image not in images:
        raise ValueError(
            f"hf:{where} has the columns {', '.join(kinds)}, of which {images} are images; "
            "wanted one, or its name in data.image_column"
        )
    classes = [name for name, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
    if label not in kinds and len(classes) > 1:
        raise ValueError(f"hf:{where} has the classes {', '.join(classes)}; name one in data.label")
    return image, label if label in kinds else classes[0] if classes else ""


def _hides(part: Any, column: str) -> bool:
    """Whether the labels of all rows are -1, which is none of a ClassLabel's."""
    return bool(column) and len(part) > 0 and all(value == -1 for value in part[column])


def _source(
    part: Any, where: str, image: str, labels: np.ndarray, names: tuple[str, ...]
) -> Source:
    import datasets

    encoded = part.cast_column(image, datasets.Image(decode=False))

    def read(i: int) -> np.ndarray:
        row = encoded[i][image]
        if row is None:
            raise ValueError(f"hf:{where} has no image in row {i}")
        if row["bytes"] is None:
            return folder.read(pathlib.Path(row["path"]))
        return image_file.read(row["bytes"], f"hf:{where}, row {i}")

    return Source(read, labels, names, pathlib.Path(where).name)


def _labels(
    parts: Mapping[str, Any], columns: Mapping[str, str], where: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The labels of each split, and the classes' names, which are the same for all splits."""
    kinds = {name: _kind(part, columns[name], where) for name, part in parts.items()}
    first, wanted = next(iter(kinds.items()))
    for name, kind in kinds.items():
        if kind != wanted:
            raise ValueError(
                f"hf:{where}: the classes of split {name} are {kind}, wanted {wanted}, as in split {first}"
            )
    if not columns[first]:
        return {name: np.zeros(len(part), np.int32) for name, part in parts.items()}, ("0",)
    listed = {name: list(part[columns[name]]) for name, part in parts.items()}
    for name, values in listed.items():
        if any(value is None for value in values) or min(values, default=0) == -1:
            raise ValueError(
                f"hf:{where}, split {name}, column {columns[name]} has rows without a class"
            )
    if isinstance(wanted, list):
        names, known = wanted, list(range(len(wanted)))
    else:
        known = sorted(set().union(*listed.values()))
        names = list(map(str, known))
    index = {value: i for i, value in enumerate(known)}
    labels = {
        name: np.asarray([index[value] for value in values], np.int32)
        for name, values in listed.items()
    }
    return labels, tuple(names)


def _kind(part: Any, column: str, where: str) -> str | list[str]:
    """The names of a ClassLabel, or in words what the column holds."""
    if not column:
        return "not given"
    kind = part.features[column]
    if getattr(kind, "names", None):
        return list(kind.names)
    dtype = getattr(kind, "dtype", "")
    if dtype != "string" and "int" not in dtype:
        raise ValueError(
            f"hf:{where}, column {column} is a {kind}; wanted ClassLabel, text or whole numbers"
        )
    return "text" if dtype == "string" else "whole numbers"
