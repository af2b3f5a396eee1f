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
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    lines = []
    for file in found:
        stat = file.lstat()
        lines.append(f"{file.relative_to(path)}\0{stat.st_size}\0{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
