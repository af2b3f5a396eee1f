"""SIGINT and SIGTERM ask a run to stop at a good moment; they do not break it off.

A stopped program leaves with `STOPPED`, so that a job script can tell "run the same command again"
from an error.
"""

import contextlib
import signal
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
