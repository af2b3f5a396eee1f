"""A folder of images: every sub-folder is a class, its name the class's name, in sorted order.

Or a folder that is divided already: its sub-folders are `train`, `test` and perhaps `validation`, and
the classes are theirs.
"""

import os
import pathlib

import numpy as np
from jaxtyping import UInt8

from ddpm_jax.data import image_file
from ddpm_jax.data.source import Source

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MAX_FILE_BYTES = 2**28
"""A raw image of `image_file.MAX_PIXELS` pixels has 201 MB."""


PARTS = ({"train", "test"}, {"train", "test", "validation"}, {"train", "test", "val"})
"""Names of the sub-folders of a divided folder."""


def divided(path: str | os.PathLike) -> dict[str, Source] | None:
    """The parts "train", "test" and perhaps "validation" of a divided folder; None if it is not divided.

    A folder whose classes are called train and test has images directly below them, and is not divided.
    Raises ValueError naming a class that is not in all parts.
    """
    root = pathlib.Path(path)
    folders = _folders(root) if root.is_dir() else []
    if {folder.name for folder in folders} not in PARTS:
        return None
    if any(_images(folder) or not _folders(folder) for folder in folders):
        return None
    parts = {
        "validation" if folder.name == "val" else folder.name: load(folder, root)
        for folder in folders
    }
    known = set().union(*(part.class_names for part in parts.values()))
    for folder in folders:
        if missing := known - {member.name for member in _folders(folder)}:
            raise ValueError(
                f"{folder} has no class folder {sorted(missing)[0]!r}, which other parts of {root} have; "
                "wanted the same classes in each"
            )
    return parts


def load(path: str | os.PathLike, inside: str | os.PathLike | None = None) -> Source:
    """Images keep their sizes and are read on demand; hidden files and those of other kinds are skipped.

    A link that leads out of the folder is refused: a stranger's archive must not make a user train on,
    and publish, other files of the machine. `inside`: the folder that links must not leave, and that
    gives the source its name; `path` if None.
    """
    root = pathlib.Path(path)
    whole = pathlib.Path(path if inside is None else inside).resolve()
    if not root.is_dir():
        raise ValueError(
            f"{root} is not a folder; wanted one with a sub-folder of images per class"
        )
    folders = _folders(root)
    if not folders:
        raise ValueError(f"{root} has no sub-folder; wanted one per class")
    files: list[pathlib.Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        if not folder.name.isprintable():
            raise ValueError(f"class folder {folder.name!r} has a name that cannot be printed")
        members = _images(folder)
        if not members:
            raise ValueError(f"class folder {folder} has no image ({', '.join(SUFFIXES)})")
        for file in members:
            if not file.name.isprintable():
                raise ValueError(f"{folder} has a file {file.name!r}, which cannot be printed")
            if not _target(file).is_relative_to(whole):
                raise ValueError(f"{file} leads out of the folder, to {str(_target(file))!r}")
        files += members
        labels += [label] * len(members)
    return Source(
        read=lambda i: read(files[i]),
        labels=np.asarray(labels, np.int32),
        class_names=tuple(folder.name for folder in folders),
        name=whole.name,
    )


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    # macOS writes a file "._1.jpg", which is no image, beside each "1.jpg" on a foreign disk.
    visible = (f for f in folder.iterdir() if not f.name.startswith("."))
    return sorted(f for f in visible if f.suffix.lower() in SUFFIXES)


def _target(file: pathlib.Path) -> pathlib.Path:
    try:
        return file.resolve()
    except RuntimeError as error:  # Python 3.12 and before
        raise ValueError(f"{file} is a link that leads to itself") from error


def read(file: pathlib.Path) -> UInt8[np.ndarray, "h w c"]:
    """One image file."""
    if not file.is_file():  # reading a pipe could block forever
        raise ValueError(f"{file} is not a regular file; wanted an image")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"{file} has {file.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read"
        )
    return image_file.read(file.read_bytes(), str(file))
