"""SIGINT and SIGTERM ask a run to stop at a good moment; they do not abort it.

A stopped program exits with `STOPPED`, so that a job script can tell "run the same command again"
from an error.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# EX_TEMPFAIL of sysexits.h: a temporary failure, the user is invited to try again.
STOPPED = 75

# SLURM can be told to send SIGUSR1 some time before the end: `#SBATCH --signal=USR1@120`.
CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], str | None]]:
    """Yields `received() -> name of the first signal, or None`. A second SIGINT kills at once."""
    names: list[str] = []

    def remember(number: int, frame: FrameType | None) -> None:
        names.append(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = {number: signal.signal(number, remember) for number in CAUGHT}
    try:
        yield lambda: names[0] if names else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(name: str | None, where: str) -> NoReturn:
    """End the program with `STOPPED`; `name` is that of the signal, None if another process got it."""
    why = name or "another process was asked to end"
    print(f"{why}: {where}; run the same command to resume", file=sys.stderr, flush=True)
    sys.exit(STOPPED)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """A signal ends the program; for work that is all on disk, with nothing to save first.

    It exits with `STOPPED`. Code inside a nested `deferred` is not affected. Handlers are restored,
    unless the program exits with `STOPPED`: later signals must not change that status while it ends.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        ignore_further()
        end(signal.Signals(number).name, "stopped")

    before = {number: signal.signal(number, leave) for number in CAUGHT}
    stopped = False
    try:
        yield
    except SystemExit as error:
        stopped = error.code == STOPPED
        raise
    finally:
        if stopped:
            ignore_further()
        else:
            for number, handler in before.items():
                signal.signal(number, handler)


def ignore_further() -> None:
    """Ignore all signals but SIGINT, which ends the program at once: a second Ctrl-C."""
    for number in CAUGHT:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)
