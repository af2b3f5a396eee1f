"""Two processes with one device each, on loopback, against one process with two devices."""

import json
import signal
import socket
import time

import numpy as np
import pytest
from test_interruptions import finish, outcome, start

from ddpm_jax.training import signals


def a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_pair(folder, **options):
    """The first is the one that coordinates and writes."""
    address = f"127.0.0.1:{a_free_port()}"
    return [
        start(
            folder,
            JAX_COORDINATOR_ADDRESS=address,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(number),
            **options,
        )
        for number in range(2)
    ]


def parameters(folder):
    return np.concatenate(json.loads((folder / "result.json").read_text())["params"])


@pytest.mark.slow
def test_two_processes_agree_with_one_that_has_two_devices(tmp_path):
    pair = start_pair(tmp_path / "pair", seconds_a_step=0.0)
    for process in pair:
        code, text = finish(process)
        assert code == 0, text
    code, text = finish(start(tmp_path / "one", seconds_a_step=0.0, JAX_NUM_CPU_DEVICES="2"))
    assert code == 0, text
    ours, theirs = parameters(tmp_path / "pair"), parameters(tmp_path / "one")
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < 1e-5


def wait_for_step(process, step):
    for line in process.stdout:
        if line == f"step {step}\n":
            return


@pytest.mark.long
def test_a_pair_resumes_to_the_same_end_after_one_was_killed_or_asked_to_stop(
    tmp_path, record_property
):
    for process in start_pair(tmp_path / "undisturbed", seconds_a_step=0.0):
        code, text = finish(process)
        assert code == 0, text

    for victim in (0, 1):
        pair = start_pair(tmp_path / "killed", seconds_a_step=0.1)
        wait_for_step(pair[victim], 10)
        pair[victim].kill()
        begun = time.monotonic()
        code, text = finish(pair[1 - victim])
        seconds = time.monotonic() - begun
        record_property(
            "counted", f"{victim} killed: the other ended {seconds:.0f} s later with {code}"
        )
        assert code != 0 and seconds < 60, text
        finish(pair[victim])

    pair = start_pair(tmp_path / "killed", seconds_a_step=0.1)
    wait_for_step(pair[1], 12)
    pair[1].send_signal(signal.SIGTERM)
    for process in pair:
        code, text = finish(process)
        assert code == signals.STOPPED, text

    for process in start_pair(tmp_path / "killed", seconds_a_step=0.0):
        code, text = finish(process)
        assert code == 0, text
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "undisturbed")
