"""Hugging Face datasets, by name or from disk. Needs the extra `hf`; runs no code of a dataset."""

import pathlib
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
    the classes; the only ClassLabel if it has no such column. Raises ImportError naming the extra, and
    ValueError listing the columns if it is not clear which are meant.
    """
    parts = {name: _source(part, where, label, image_column) for name, part in _open(where).items()}
    given = next((parts[name] for name in VALIDATION if name in parts), None)
    train = parts.get("train", next(iter(parts.values())))
    tested = parts.get("test")
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


def _source(part: Any, where: str, label: str, image_column: str) -> Source:
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
    column = label if label in kinds else classes[0] if classes else ""
    labels = np.zeros(len(part), np.int32)
    names: tuple[str, ...] = ("0",)
    if column:
        labels, names = _labels(part[column], kinds[column], f"hf:{where}, column {column}")
    encoded = part.cast_column(image, datasets.Image(decode=False))

    def read(i: int) -> np.ndarray:
        row = encoded[i][image]
        if row is None:
            raise ValueError(f"hf:{where} has no image in row {i}")
        if row["bytes"] is None:
            return folder.read(pathlib.Path(row["path"]))
        return image_file.read(row["bytes"], f"hf:{where}, row {i}")

    return Source(read, labels, names, pathlib.Path(where).name)


def _labels(values: Any, kind: Any, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    listed = list(values)
    if any(value is None for value in listed) or min(listed, default=0) == -1:
        raise ValueError(f"{where} has rows without a class")
    if getattr(kind, "names", None):
        return np.asarray(listed, np.int32), tuple(kind.names)
    if getattr(kind, "dtype", "") != "string" and "int" not in getattr(kind, "dtype", ""):
        raise ValueError(f"{where} is a {kind}; wanted ClassLabel, text or whole numbers")
    known = sorted(set(listed))
    index = {value: i for i, value in enumerate(known)}
    return np.asarray([index[value] for value in listed], np.int32), tuple(map(str, known))
