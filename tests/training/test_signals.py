import os
import signal
import subprocess
import sys

import pytest

from ddpm_jax.training import signals


@pytest.fixture
def handlers():
    """Those of this process, restored after the test."""
    before = {number: signal.getsignal(number) for number in signals.CAUGHT}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.CAUGHT, ids=lambda number: number.name)
def test_a_signal_is_remembered_and_does_not_break_anything_off(number):
    before = signal.getsignal(number)
    with signals.deferred() as received:
        assert received() is None
        os.kill(os.getpid(), number)
        assert received() == number.name
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)
            assert received() == number.name
    assert signal.getsignal(number) == before


def test_the_first_signal_is_the_one_named():
    with signals.deferred() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert received() == "SIGTERM"


def test_a_second_interrupt_ends_the_process_at_once():
    program = (
        "import os, signal\n"
        "from ddpm_jax.training import signals\n"
        "with signals.deferred() as received:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print(received(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "SIGINT\n")


@pytest.mark.parametrize("number", signals.CAUGHT, ids=lambda number: number.name)
def test_where_nothing_is_to_be_saved_a_signal_ends_the_program_with_the_same_status(
    number, capsys, handlers
):
    with pytest.raises(SystemExit) as left, signals.leaving():
        with signals.deferred() as received:
            os.kill(os.getpid(), number)
            assert received() == number.name
        os.kill(os.getpid(), number)
        pytest.fail("still here")
    assert left.value.code == signals.STOPPED
    assert capsys.readouterr().err.startswith(
        f"{number.name}: stopped; run the same command to resume"
    )


def test_handlers_are_restored_unless_the_program_was_stopped(handlers):
    for code, restored in ((0, True), (2, True), (signals.STOPPED, False)):
        with pytest.raises(SystemExit), signals.leaving():
            sys.exit(code)
        assert all((signal.getsignal(n) == handlers[n]) == restored for n in signals.CAUGHT)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_second_signal_while_python_shuts_down_does_not_change_the_status(name):
    program = (
        "import atexit, os, signal, sys\n"
        "from ddpm_jax.training import signals\n"
        f"again = lambda: os.kill(os.getpid(), signal.{name})\n"
        "atexit.register(again)\n"
        "with signals.leaving():\n"
        "    with signals.deferred():\n"
        "        again()\n"
        "    sys.exit(signals.STOPPED)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == signals.STOPPED
