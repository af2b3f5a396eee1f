"""Two processes of the program, one of which stands still or is killed."""

import json
import signal
import subprocess
import time

import pytest
from tiny_run import ROOT, command, environment, free_port

from ddpm_jax import metrics

STALL = 60
"""Longer than the compiling that the first step waits for."""
STEPS = {
    "training.num_steps": 160,
    "training.log_every": 5,
    "training.save_every": 20,
    "training.eval_every": 80,
    "training.sample_every": 1000,
}
STOPPED = 75
HEARTBEAT = 10
SLACK = 15
"""Seconds for the watcher to look at its clock, and for a process to end on a busy machine."""


@pytest.fixture
def start():
    """`start(workdir, **fields)`: both processes; what each says goes to a file beside `workdir`."""
    running = []

    def begin(workdir, **fields):
        fields = STEPS | fields
        workdir.mkdir(exist_ok=True)
        port = free_port()
        for number in range(2):
            flags = [f"--config.{name}={value}" for name, value in fields.items()]
            flags += [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
            flags += [f"--process_id={number}", f"--workdir={workdir}"]
            with said_by(workdir, number).open("a") as output:
                running.append(
                    subprocess.Popen(
                        command("--mode=train", *flags),
                        env=environment(1),
                        cwd=ROOT,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        return running[-2:]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def said_by(workdir, number):
    return workdir.with_name(f"{workdir.name}.{number}.txt")


def in_the_middle(pair, workdir, steps):
    """Wait until the pair has gone `steps` further than it was."""
    path = workdir / "metrics.jsonl"

    def last():
        return max((line["step"] for line in metrics.read(path)), default=0)

    goal = last() + steps
    while last() < goal:
        assert all(process.poll() is None for process in pair)
        time.sleep(0.01)


def seconds_until_it_ends(process):
    begun = time.monotonic()
    process.wait(300)
    return time.monotonic() - begun


@pytest.mark.long
def test_one_that_waits_for_a_stuck_one_longer_than_it_may_says_so_and_ends(start, tmp_path):
    fields = {"training.heartbeat_seconds": 1000, "training.stall_seconds": STALL}
    pair = start(tmp_path / "run", **fields)
    in_the_middle(pair, tmp_path / "run", 10)
    pair[1].send_signal(signal.SIGSTOP)
    seconds = seconds_until_it_ends(pair[0])
    pair[1].kill()
    pair[1].wait()
    said = said_by(tmp_path / "run", 0).read_text()
    assert pair[0].returncode == STOPPED and seconds < STALL + SLACK, said[-3000:]
    assert f"nothing has moved for {STALL} seconds: another process is stuck or gone" in said


def sums(workdir):
    result = json.loads((workdir / "results" / "train.json").read_text())
    return result["params_sha256"], result["ema_sha256"]


@pytest.mark.long
def test_one_is_killed_the_other_ends_and_the_pair_resumes_to_the_same_bits(
    start, tmp_path, record_property
):
    fields = {"training.num_steps": 60, "training.heartbeat_seconds": HEARTBEAT}
    for process in start(tmp_path / "undisturbed", **fields):
        assert process.wait(300) == 0, said_by(tmp_path / "undisturbed", 0).read_text()[-3000:]

    workdir = tmp_path / "killed"
    first, second = start(workdir, **fields)
    while not (workdir / "checkpoints" / "20").exists():
        assert first.poll() is None and second.poll() is None
        time.sleep(0.01)
    first.kill()  # the one that coordinates and writes
    seconds = seconds_until_it_ends(second)
    said = said_by(workdir, 1).read_text()[-3000:]
    assert second.returncode not in (0, STOPPED) and seconds < HEARTBEAT + SLACK, said
    record_property("counted", f"one of a pair killed: the other ended {seconds:.0f} s later")
    assert not (workdir / "results" / "train.json").exists()

    for process in start(workdir, **fields):
        assert process.wait(300) == 0, said_by(workdir, 0).read_text()[-3000:]
    assert json.loads((workdir / "results" / "train.json").read_text())["resumed_at"] >= 20
    assert sums(workdir) == sums(tmp_path / "undisturbed")
