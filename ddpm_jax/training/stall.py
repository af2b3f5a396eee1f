"""A watchdog: a process that waits for a dead or stuck one would otherwise wait forever."""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from ddpm_jax.training import signals


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[Callable[[], None]]:
    """Yields `alive()`. If it is not called for `seconds`, the process ends.

    It exits with `signals.STOPPED`, because the same command resumes from the last checkpoint, and
    prints where each thread was. `seconds` must leave room for the compilation of the first step.
    """
    if not seconds > 0.0:
        raise ValueError(f"seconds {seconds} must be positive")
    left = threading.Event()
    last = time.monotonic()

    def alive() -> None:
        nonlocal last
        last = time.monotonic()

    def watch() -> None:
        while not left.wait(min(1.0, seconds / 4)):
            if time.monotonic() - last > seconds:
                print(
                    f"nothing has moved for {seconds:g} seconds: another process is stuck or gone, "
                    "or a device is; this process ends; run the same command to resume",
                    file=sys.stderr,
                    flush=True,
                )
                faulthandler.dump_traceback()
                # Not sys.exit: the main thread is the one that is stuck.
                os._exit(signals.STOPPED)

    watcher = threading.Thread(target=watch, name="stall", daemon=True)
    watcher.start()
    try:
        yield alive
    finally:
        left.set()
        watcher.join()
