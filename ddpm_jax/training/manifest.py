"""The manifest of a complete checkpoint, written last, so that damage is detected.

The arrays' own format does not detect a flipped bit: wrong weights would be restored silently.
"""

import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import jax

from ddpm_jax.whole_file import replacing

NAME = "manifest.json"
MAX_BYTES = 2**24
"""A manifest takes some hundred bytes per file and per array."""
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Damaged(OSError):
    """A checkpoint that does not match its manifest, or has none."""


def write(directory: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Write the manifest of all files under `directory`, which must not change afterwards."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != NAME)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_sha256_on_disk, files))
    content = dict(facts) | {
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "files": {
            path.relative_to(directory).as_posix(): {
                "size": path.stat().st_size,
                "sha256": digest,
            }
            for path, digest in zip(files, digests, strict=True)
        },
    }
    with replacing(directory / NAME) as temporary:
        temporary.write_bytes(_text(content))


def read(directory: pathlib.Path) -> dict[str, Any]:
    """The facts. Raises `Damaged` if there is no manifest, or any byte of it has changed."""
    path = directory / NAME
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe could block forever
            raise Damaged(f"{NAME} is no regular file")
        if facts.st_size > MAX_BYTES:
            raise Damaged(f"{NAME} has {facts.st_size} bytes; at most {MAX_BYTES} are read")
        text = path.read_bytes()
    except Damaged:
        raise
    except OSError as error:
        raise Damaged(
            f"{NAME} cannot be read ({error.strerror}): the save was not finished"
        ) from None
    try:
        content = json.loads(text)
        content.pop("sha256")
        whole = _text(content) == text and isinstance(content["files"], dict)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise Damaged(f"{NAME} was altered: it does not agree with its own checksum")
    for name, facts in content["files"].items():
        if not _can_be_checked(name, facts):
            raise Damaged(f"{NAME} lists {name!r}, which is no file of its folder")
    return content


def _can_be_checked(name: str, facts: Any) -> bool:
    """A forged file can have a right checksum, so check that no name leads out of the folder."""
    path = pathlib.PurePosixPath(name)
    inside = name.isprintable() and path.parts and not path.is_absolute() and ".." not in path.parts
    facts = facts if isinstance(facts, dict) else {}
    known = isinstance(facts.get("size"), int) and isinstance(facts.get("sha256"), str)
    return bool(inside and known)


def verify(directory: pathlib.Path, items: Collection[str] | None = None) -> dict[str, Any]:
    """The facts, after checking that every file (or every file in the folders `items`) is unchanged."""
    content = read(directory)
    wanted = {
        name: facts
        for name, facts in content["files"].items()
        if items is None or "/" not in name or name.split("/")[0] in items
    }
    with ThreadPoolExecutor() as pool:
        for fault in pool.map(lambda name: _fault(directory / name, name, wanted[name]), wanted):
            if fault:
                raise Damaged(fault)
    return content


def arrays(tree: Any) -> dict[str, str]:
    """The dtype and shape of each array, by its place in the tree: what the facts say of an item."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def refuse_other_arrays(
    step: int, stored: Mapping[str, Mapping[str, str]], items: Mapping[str, Any]
) -> None:
    """Raise ValueError if the stored arrays are not those of the items that are wanted."""
    differences = [
        f"{item}/{name} is {stored[item].get(name, 'missing')}, wanted {wanted.get(name, 'none')}"
        for item, wanted in ((item, arrays(tree)) for item, tree in items.items())
        for name in sorted(stored[item].keys() | wanted.keys())
        if stored[item].get(name) != wanted.get(name)
    ]
    if differences:
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise ValueError(
            f"checkpoint {step} is of another model: {'; '.join(differences[:5])}{more}"
        )


def _fault(path: pathlib.Path, name: str, wanted: Mapping[str, Any]) -> str | None:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            return f"{name} is no regular file"
        size = facts.st_size
        if size != wanted["size"]:
            return f"{name} has {size} bytes, wanted {wanted['size']}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    if digest != wanted["sha256"]:
        got, whole = digest[:12], wanted["sha256"][:12]
        return f"{name} was altered: its SHA-256 begins {got}, wanted {whole}"
    return None


def _sha256_on_disk(path: pathlib.Path) -> str:
    """Hash a file once it has reached the disk: the manifest must not survive a power cut alone."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(content: Mapping[str, Any]) -> bytes:
    """The only way to serialize it, so that a reader can check every byte against the checksum."""
    body = json.dumps(content, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(body.encode()).hexdigest()
    return (json.dumps({**content, "sha256": digest}, sort_keys=True, indent=1) + "\n").encode()
