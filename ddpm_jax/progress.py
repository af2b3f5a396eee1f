"""Progress of a long stage: a bar on a terminal, elsewhere a plain line now and then."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

from ddpm_jax import units

SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def bar(what: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[..., None]]:
    """Yields `show(done, **numbers)`. The first `done` of `total` exist already and count for no speed."""
    if sys.stderr.isatty():
        with tqdm(
            desc=what, total=total, unit=f" {unit}", initial=done, dynamic_ncols=True
        ) as drawn:

            def show(done: int, **numbers: float) -> None:
                drawn.set_postfix(numbers, refresh=False)
                drawn.update(done - drawn.n)

            yield show
    else:
        yield _lines(what, total, unit, done)


def _lines(what: str, total: int, unit: str, before: int) -> Callable[..., None]:
    started = time.monotonic()
    last = -SECONDS_BETWEEN_LINES

    shown = None

    def show(done: int, **numbers: float) -> None:
        nonlocal last, shown
        elapsed = time.monotonic() - started
        if done == shown or (done < total and elapsed - last < SECONDS_BETWEEN_LINES):
            return
        last, shown = elapsed, done
        left = elapsed / max(done - before, 1) * (total - done)
        texts = [f"{name} {number:.4g}" for name, number in numbers.items()]
        print(
            ", ".join([f"{what} {done}/{total} {unit}", *texts, f"{units.duration(left)} to go"]),
            flush=True,
        )

    return show
