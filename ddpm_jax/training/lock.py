"""One trainer per work directory: two would overwrite each other's checkpoints."""

import contextlib
import datetime
import json
import logging
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

NAME = "lock"


class Locked(OSError):
    """Another process holds the directory."""


class NoLocks(OSError):
    """The file system has no locks."""


@contextlib.contextmanager
def owned(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Hold `directory`. Raises `Locked`, naming the process that holds it, and `NoLocks`.

    The operating system releases the lock however a process ends, so there is no stale lock to
    remove. A process that crashed stays named in the file, and the next one names it in the log.
    Windows has no such locks: there a warning says that nothing keeps a second process out.
    """
    path = pathlib.Path(directory) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            _lock(file, directory)
        except BlockingIOError:
            raise Locked(f"{directory} is in use by {_owner(file)}") from None
        except OSError as error:
            raise NoLocks(f"{path} cannot be locked on this file system: {error}") from error
        if path.stat().st_size:
            log.warning("taking %s over from %s, which did not end well", directory, _owner(file))
        _rewrite(file, json.dumps(_myself()))
        try:
            yield
        finally:
            _rewrite(file, "")


def _lock(file: IO[str], directory: str | os.PathLike[str]) -> None:
    if fcntl is None:
        log.warning("this system has no file locks: run one process at a time in %s", directory)
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _myself() -> dict[str, str | int]:
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _owner(file: IO[str]) -> str:
    file.seek(0)
    text = file.read()
    try:
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, TypeError, KeyError):
        return f"a process that left no name ({text[:80]!r})"


def _rewrite(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
