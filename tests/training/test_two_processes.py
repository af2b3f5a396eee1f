"""Two processes with one device each, on loopback, against one process with two devices."""

import json
import socket

import numpy as np
from test_interruptions import finish, start


def a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_pair(folder, **options):
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


def test_two_processes_agree_with_one_that_has_two_devices(tmp_path):
    pair = start_pair(tmp_path / "pair", seconds_a_step=0.0)
    for process in pair:
        code, text = finish(process)
        assert code == 0, text
    code, text = finish(start(tmp_path / "one", seconds_a_step=0.0, JAX_NUM_CPU_DEVICES="2"))
    assert code == 0, text
    ours, theirs = parameters(tmp_path / "pair"), parameters(tmp_path / "one")
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() < 1e-5
