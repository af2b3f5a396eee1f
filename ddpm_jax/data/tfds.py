"""Any image-classification dataset of TensorFlow Datasets, by name.

This is the only file that knows TensorFlow. TensorFlow is imported only to prepare a dataset; one that
is already prepared, as ArrayRecord, is read without it.
"""

import itertools
import os
import pathlib
import urllib.parse
from typing import TYPE_CHECKING, Any

import numpy as np

from ddpm_jax.data import division, image_file
from ddpm_jax.data.source import Source, Splits

if TYPE_CHECKING:
    import tensorflow_datasets

RECORDS_A_READ = 256
"""Records read at once for their labels; one by one, 60,000 take four times as long."""

SECONDS_TO_ANSWER = 5.0
"""A host's time to answer before TFDS is started, which tries eleven times up to the system's timeout."""
MOST_HOSTS = 3


def load(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
    label: str = "label",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Splits:
    """The official splits; where there are none, validation and test are made from train.

    A split whose labels are all -1 counts as not there. A dataset with official train and validation
    only (ImageNet: the test labels are secret) is tested on the latter, as is usual. `label` names the
    feature to classify by, such as `attributes/Smiling` of celeb_a or `species` of oxford_iiit_pet.
    `validation` and `test` are fractions of train, used where the dataset has no such split.
    `manual_dir` holds archives that need not, or cannot, be downloaded.
    """
    builder = prepared(name, data_dir=data_dir, manual_dir=manual_dir)
    official = {
        split: _source(builder, split, label)
        for split in ("train", "validation", "test")
        if split in builder.info.splits
    }
    if "train" not in official:
        raise ValueError(f"{name} has no split train; it has {', '.join(builder.info.splits)}")
    official = {split: part for split, part in official.items() if _has_labels(part)}
    if "train" not in official:
        raise ValueError(f"the images of {name}/train have no label {label}: all are -1")
    if "test" not in official and "validation" in official:
        official["test"] = official.pop("validation")
    if "test" not in official:
        fractions = (1 - validation - test, validation, test)
        return Splits(*division.split(official["train"], fractions, seed))
    if "validation" not in official:
        train, held_out = division.split(official["train"], (1 - validation, validation), seed)
        return Splits(train, held_out, official["test"])
    return Splits(**official)


def prepared(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
) -> "tensorflow_datasets.core.DatasetBuilder":
    """The builder of a dataset on disk as ArrayRecord; prepares the dataset first if needed."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        raise
    except ValueError as error:  # prepared by another program, as tfrecord
        raise ValueError(
            f"{name} cannot be read at random: {error}. If it was prepared in another format than "
            "array_record, give another data_dir."
        ) from error
    if builder.is_prepared():
        return builder
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"{name} is not prepared in {builder.data_dir}, and only TensorFlow can prepare it: "
            "pip install tensorflow-cpu, or copy that folder from a machine where it was prepared"
        ) from error
    tf.config.set_visible_devices([], "GPU")  # TensorFlow would take all GPU memory from JAX
    folder = None if manual_dir is None else pathlib.Path(manual_dir).expanduser().absolute()
    _announce(builder, folder)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=folder)
        )
    except Exception as error:
        # If another process has come first, TFDS cannot move its files to where the other's lie.
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
        if builder.is_prepared():
            return builder
        raise OSError(
            f"{name} could not be downloaded and prepared ({type(error).__name__}: {error}). "
            "Without a network, put its archives into a folder and give that as data.manual_dir "
            f"(now {folder}), or copy {builder.data_dir} from a machine where it was prepared."
        ) from error
    return builder


def _announce(
    builder: "tensorflow_datasets.core.DatasetBuilder", manual_dir: pathlib.Path | None
) -> None:
    """Print what is downloaded, and raise ConnectionError if none of its hosts answers."""
    wanted = _not_here(builder, manual_dir)
    if not wanted:
        print(f"[data] preparing {builder.name} in {builder.data_dir}", flush=True)
        return
    size = sum(int(info.size) for info in wanted.values()) / 2**20
    hosts = sorted({urllib.parse.urlsplit(url).netloc for url in wanted})
    files = sorted({info.filename or url for url, info in wanted.items()})
    without = (
        f"without a network, put {', '.join(files[:5])}{', ...' * (len(files) > 5)} into a folder and "
        f"give that as --config.data.manual_dir (now {manual_dir}), or copy {builder.data_dir} from a "
        "machine where it was prepared"
    )
    print(
        f"[data] downloading {builder.name}, at most {size:,.0f} MiB from {', '.join(hosts)}, into "
        f"{builder.data_dir}; {without}",
        flush=True,
    )
    failures = []
    for host in hosts[:MOST_HOSTS]:
        url = next(url for url in wanted if urllib.parse.urlsplit(url).netloc == host)
        failure = _no_answer(url)
        if failure is None:
            return
        failures.append(f"{host}: {failure}")
    raise ConnectionError(f"{builder.name} cannot be downloaded ({'; '.join(failures)}); {without}")


def _not_here(
    builder: "tensorflow_datasets.core.DatasetBuilder", manual_dir: pathlib.Path | None
) -> dict[str, Any]:
    """Address and size of the archives that are neither in `manual_dir` nor downloaded already.

    TFDS lists those of all configs of a dataset. Empty if the user has to supply them anyway.
    """
    from tensorflow_datasets.core.download import resource

    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return {}
    downloads = pathlib.Path(builder.data_dir_root) / "downloads"

    def is_here(url: str, info: Any) -> bool:
        if manual_dir and info.filename and (manual_dir / info.filename).exists():
            return True
        name = resource.get_dl_fname(url, info.checksum)
        return any((folder / name).exists() for folder in (downloads / builder.name, downloads))

    return {
        url: info
        for url, info in (builder.url_infos or {}).items()  # None: it registers no archive
        if url.startswith("http") and not is_here(url, info)
    }


def _no_answer(url: str) -> str | None:
    """Why `url` does not answer, through the same library, proxies and certificates as TFDS uses."""
    import requests

    try:
        requests.head(url, timeout=SECONDS_TO_ANSWER)
    except (requests.ConnectionError, requests.Timeout) as error:
        return type(error).__name__
    return None  # a refusal is an answer too: TFDS asks in its own way


def _source(builder: "tensorflow_datasets.core.DatasetBuilder", split: str, label: str) -> Source:
    import tensorflow_datasets as tfds

    path = label.split("/")
    names = _class_names(builder, path)
    # Bytes as they are on disk: labels are read without decoding an image; masks are never decoded.
    raw = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    if "image" not in raw:
        raise ValueError(f"{builder.name} has no feature 'image'; wanted a dataset of images")
    records = builder.as_data_source(split=split, decoders=raw)
    name = f"{builder.name}/{split}"
    return Source(
        read=lambda i: image_file.read(records[i]["image"], f"image {i} of {name}"),
        labels=_labels(records, path),
        class_names=names,
        name=name,
    )


def _labels(records: Any, path: list[str]) -> np.ndarray:
    num = len(records)
    batches = (
        records.__getitems__(range(first, min(first + RECORDS_A_READ, num)))
        for first in range(0, num, RECORDS_A_READ)
    )
    found = (_follow(record, path) for record in itertools.chain.from_iterable(batches))
    return np.fromiter(found, np.int32, count=num)


def _has_labels(part: Source) -> bool:
    """Whether no label is -1, which is TFDS's for none; raises ValueError if only some are."""
    missing, num = np.count_nonzero(part.labels == -1), len(part.labels)
    if 0 < missing < num:
        raise ValueError(f"{missing} of {num} labels of {part.name} are -1; wanted none or all")
    return not missing


def _class_names(
    builder: "tensorflow_datasets.core.DatasetBuilder", path: list[str]
) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    feature = builder.info.features
    for key in path:
        if not hasattr(feature, "keys") or key not in feature:
            raise ValueError(
                f"{builder.name} has no feature {'/'.join(path)!r} to classify by; it has "
                + ", ".join(_leaves(builder.info.features))
            )
        feature = feature[key]
    if isinstance(feature, tfds.features.ClassLabel):
        return tuple(feature.names)
    if feature.dtype == np.bool_:
        return (f"not {path[-1]}", path[-1])
    raise ValueError(f"{'/'.join(path)} of {builder.name} is {feature}; wanted a class or a yes/no")


def _leaves(feature: Any, prefix: str = "") -> list[str]:
    if not hasattr(feature, "keys"):
        return [prefix.removesuffix("/")]
    return [leaf for key in feature for leaf in _leaves(feature[key], f"{prefix}{key}/")]


def _follow(record: Any, path: list[str]) -> int:
    for key in path:
        record = record[key]
    return int(record)
