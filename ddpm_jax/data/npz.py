"""Labelled images in one `.npz`: how synthetic sets are written, and how anyone's are read."""

import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from ddpm_jax.data import source
from ddpm_jax.data.source import Source
from ddpm_jax.types import Pixels


def save(
    path: str | os.PathLike,
    images: Pixels,
    labels: Int32[np.ndarray, "N"],
    class_names: Sequence[str],
    meta: Mapping[str, Any],
    *,
    arr_keys: bool = False,
) -> None:
    """Keys image, label, class_names, meta (JSON text); the file appears whole or not at all.

    `arr_keys` writes images and labels as `arr_0` and `arr_1`, as OpenAI's evaluator wants them.
    The same arguments give the same bytes.
    """
    path = pathlib.Path(path)
    image_key, label_key = ("arr_0", "arr_1") if arr_keys else ("image", "label")
    arrays = {
        image_key: images,
        label_key: labels,
        "class_names": np.array(class_names, np.str_),
        "meta": np.array(json.dumps(meta, sort_keys=True)),
    }
    # In the same folder, since a rename is atomic only within one file system.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the result from a group
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | os.PathLike) -> Source:
    """Keys `image` and `label`, or `arr_0` and `arr_1`; `class_names` if it is there.

    `arr_0` alone, an unconditional sample of OpenAI's, is one class.
    """
    path = pathlib.Path(path)
    with np.load(path, allow_pickle=False) as arrays:
        image_key, label_key = ("image", "label") if "image" in arrays else ("arr_0", "arr_1")
        images = arrays[image_key]
        if label_key in arrays:
            labels = arrays[label_key]
        else:
            labels = np.zeros(len(images), np.int32)
        if "class_names" in arrays:
            class_names = [str(name) for name in arrays["class_names"]]
        else:
            class_names = [str(i) for i in range(labels.max() + 1)]
    return source.from_arrays(images, labels.astype(np.int32), class_names, path.stem)


def load_meta(path: str | os.PathLike) -> dict[str, Any]:
    """What `save` was told about where the images come from."""
    with np.load(path, allow_pickle=False) as arrays:
        return json.loads(str(arrays["meta"]))
