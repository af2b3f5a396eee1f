"""SIGINT and SIGTERM ask a run to stop at a good moment; they do not break it off.

A stopped program leaves with `STOPPED`, so that a job script can tell "run the same command again"
from an error.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

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


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Where nothing is to be saved first, since all that is done is on disk: a signal ends the program.

    It leaves with `STOPPED`. What is inside of `deferred` in it is not touched.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for another in CAUGHT:  # those that come while the program cleans up
            signal.signal(another, signal.SIG_DFL if another == signal.SIGINT else signal.SIG_IGN)
        name = signal.Signals(number).name
        print(f"{name}: stopped; run the same command to go on", file=sys.stderr, flush=True)
        sys.exit(STOPPED)

    before = {number: signal.signal(number, leave) for number in CAUGHT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
