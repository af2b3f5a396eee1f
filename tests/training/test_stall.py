import subprocess
import sys
import time

import pytest

from ddpm_jax.training import signals, stall

STUCK = (
    "import time\n"
    "from ddpm_jax.training import stall\n"
    "with stall.watched(0.4) as alive:\n"
    "    for _ in range(6):\n"
    "        time.sleep(0.1)\n"
    "        alive()\n"
    "    print('moving', flush=True)\n"
    "    time.sleep(60)\n"
)


def test_a_process_that_is_stuck_ends_in_time_and_says_where_it_was():
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True)
    assert done.returncode == signals.STOPPED
    assert done.stdout == "moving\n"
    assert "nothing has moved for 0.4 seconds" in done.stderr
    assert 'File "<string>", line 8 in <module>' in done.stderr
    assert time.monotonic() - begun < 30


def test_a_process_that_is_through_is_left_alone():
    with stall.watched(0.05) as alive:
        alive()
    time.sleep(0.2)


def test_no_time_at_all_is_refused():
    with pytest.raises(ValueError, match="seconds 0 must be positive"), stall.watched(0):
        pass
