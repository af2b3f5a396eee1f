"""Whether the user's image files have changed, without reading them."""

import hashlib
import pathlib

KINDS = ("npz", "folder", "hf")
"""Kinds of sources that are files of the user's; the others do not change under their names."""


def of_source(name: str) -> str | None:
    """A digest of the names, sizes and times of a `data.source`'s files; None if they are not the user's."""
    kind, _, where = name.partition(":")
    path = pathlib.Path(where)
    if kind not in KINDS or not path.exists():
        return None
    lines = []
    for file in _visible(path) if path.is_dir() else [path]:
        stat = file.lstat()
        lines.append(f"{file.relative_to(path)}\0{stat.st_size}\0{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _visible(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files, but for those that a system adds, such as macOS's .DS_Store and Windows's Thumbs.db."""
    return sorted(
        file
        for file in folder.rglob("*")
        if not file.is_dir()
        and file.suffix.lower() != ".db"
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
