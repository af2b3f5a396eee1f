"""What code does to the machine, by Python's audit events: files written, programs started, pickles run."""

import contextlib
import os
import pathlib
import sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate", "os.utime",
)  # fmt: skip
RUNS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pickle.find_class",
    "socket.connect", "subprocess.Popen",
)  # fmt: skip
_recorders = []


def _record(event, arguments):
    for recorder in _recorders:
        recorder(event, arguments)


def changed(event, arguments):
    """Where, all links on the way followed; of what is opened, the last one too."""
    if event in ("os.rename", "os.link"):
        paths = arguments[:2]
    else:
        paths = arguments[1:2] if event == "os.symlink" else arguments[:1]
    for path in paths:
        if not isinstance(path, int):  # one that is open already
            path = os.fsdecode(path)
            if event in ("os.mkdir", "os.remove", "os.rmdir") and arguments[-1] >= 0:
                path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)
            if event == "open":
                yield os.path.realpath(path)
            else:
                folder, name = os.path.split(path.rstrip(os.sep))
                yield os.path.join(os.path.realpath(folder), name)


@contextlib.contextmanager
def outside(folder):
    """Yields a list that grows by what is done anywhere but in `folder`.

    JAX's cache of compiled programs and `os.devnull` do not count: what takes long to compile is
    written there, whenever that is.
    """
    found = []
    folders = [folder, *filter(None, [os.environ.get("JAX_COMPILATION_CACHE_DIR")])]
    inside = tuple(f"{pathlib.Path(path).resolve()}{os.sep}" for path in folders)

    def record(event, arguments):
        if event in RUNS:
            found.append((event, *map(str, arguments[:2])))
        elif event in CHANGES or (event == "open" and arguments[2] & WRITES):
            for path in changed(event, arguments):
                if path != os.devnull and not f"{path}{os.sep}".startswith(inside):
                    found.append((event, path))

    if not _recorders:
        sys.addaudithook(_record)
        _recorders.append(lambda event, arguments: None)  # a hook stays for good: one is enough
    _recorders.append(record)
    try:
        yield found
    finally:
        _recorders.remove(record)
