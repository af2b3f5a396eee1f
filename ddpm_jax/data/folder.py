"""A folder of images: every sub-folder is a class, its name the class's name, in sorted order."""

import os
import pathlib

import numpy as np

from ddpm_jax.data import image_file
from ddpm_jax.data.source import Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def load(path: str | os.PathLike) -> Source:
    """Images keep their sizes and are read when asked for; files of other kinds are passed over."""
    root = pathlib.Path(path)
    if not root.is_dir():
        raise ValueError(
            f"{root} is not a folder; wanted one with a sub-folder of images per class"
        )
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not folders:
        raise ValueError(f"{root} has no sub-folder; wanted one per class")
    files: list[pathlib.Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        members = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
        if not members:
            raise ValueError(f"class folder {folder} has no image ({', '.join(SUFFIXES)})")
        files += members
        labels += [label] * len(members)
    return Source(
        read=lambda i: image_file.read(files[i].read_bytes(), str(files[i])),
        labels=np.asarray(labels, np.int32),
        class_names=tuple(folder.name for folder in folders),
        name=root.name,
    )
