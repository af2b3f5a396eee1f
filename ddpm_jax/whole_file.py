"""A file that is seen whole or not at all, whatever ends the program that writes it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """A path to write to; it becomes `path` when the block ends well, and is removed when it does not.

    Its name does not end as that of `path` does, so that nobody who looks for such files finds it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open(
            "r+b"
        ) as file:  # or a machine that fails leaves the new name without bytes
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
