"""The same run on one device, on four, and on two processes of one device each."""

import collections
import json
import pathlib
import shutil
import subprocess

import jax
import numpy as np
import pytest
from tiny_run import ROOT, TINY, command, environment, free_port, tiny

from ddpm_jax.data import order, source
from ddpm_jax.models import trained
from ddpm_jax.training import devices

WATCHED = pathlib.Path(__file__).with_name("watched_program.py")
FLAGS = (
    "--config.training.num_steps=20",
    "--config.training.save_every=20",
    "--config.training.eval_every=20",
    "--config.training.sample_every=20",
    "--config.optim.learning_rate=1e-4",
)


def train(workdir, num_devices, *flags):
    flags = ("--mode=train", *FLAGS, *flags, f"--workdir={workdir}")
    subprocess.run(command(*flags), env=environment(num_devices), cwd=ROOT, check=True)
    return parameters(workdir)


def parameters(workdir):
    config = tiny()
    return jax.tree.map(np.asarray, trained.load_model(config, workdir / "checkpoints").weights.net)


def largest_difference(one, other):
    """Over all leaves, each relative to its largest entry."""
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(np.abs(a - b).max() / np.abs(a).max() for a, b in leaves)


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory):
    """The work directory of a training."""
    workdir = tmp_path_factory.mktemp("on") / "two"
    train(workdir, 2)
    return workdir


@pytest.mark.long
def test_four_devices_train_the_model_of_one(tmp_path):
    no_grid = "--config.training.sample_every=1000"
    one, four = (train(tmp_path / str(num), num, no_grid) for num in (1, 4))
    assert largest_difference(one, four) < 1e-5


def pair(workdir, *flags):
    """Two processes of one device each, to their end; what each has done to which file."""
    port = free_port()
    notes = [workdir.with_name(f"{workdir.name}.{number}.json") for number in range(2)]
    running = []
    for number in range(2):
        words = command(*flags, f"--workdir={workdir}", f"--coordinator=127.0.0.1:{port}")
        words += ["--num_processes=2", f"--process_id={number}"]
        words[1 : words.index("ddpm_jax.main") + 1] = [str(WATCHED), str(notes[number])]
        running.append(subprocess.Popen(words, env=environment(1), cwd=ROOT))
    statuses = {process.wait(600) for process in running}
    done = [json.loads(path.read_text()) for path in notes]
    return statuses, [
        collections.Counter(where for _, where, *_ in deeds if where.startswith(str(workdir)))
        for deeds in done
    ]


@pytest.mark.long
def test_two_processes_train_as_one_with_two_devices(on_two_devices, tmp_path):
    fields = [f"--config.{name}={value}" for name, value in TINY.items()]
    flags = ["--config=configs/digits.py", *fields, *FLAGS, "--mode=train"]
    subprocess.run(
        ["sh", "launch/local.sh", "2", *flags, f"--workdir={tmp_path / 'two'}"],
        env=environment(1) | {"PORT": str(free_port())},
        cwd=ROOT,
        check=True,
    )
    one, two = parameters(on_two_devices), parameters(tmp_path / "two")
    assert largest_difference(one, two) < 1e-5


OWN = {"command", "seconds", "versions", "inputs", "outputs", "synthetic"}
"""Fields that are a run's own: where it was, when, and how it was started."""


def results(workdir):
    found = {path.stem: json.loads(path.read_text()) for path in (workdir / "results").iterdir()}
    return {
        mode: {name: value for name, value in fields.items() if name not in OWN}
        for mode, fields in found.items()
    }


def files(workdir):
    return {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_processes_go_through_the_chain_as_one_with_two_devices(trained_once, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for workdir in (one, two):
        shutil.copytree(trained_once, workdir)
    before = files(two)
    subprocess.run(command(f"--workdir={one}"), env=environment(2), cwd=ROOT, check=True)
    statuses, done = pair(two)
    assert statuses == {0}
    assert results(one) == results(two)
    for name in ("synthetic.npz", "figures/classes.png", "figures/reverse.gif"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    made = files(two) - before
    assert files(one) == files(two) and {"results/evaluate.json", "report.html"} <= made
    # The first process writes each file once, the other none.
    assert {name: done[0][str(two / name)] for name in made} == dict.fromkeys(made, 1)
    assert not done[1]


@pytest.mark.long
def test_two_processes_look_at_a_step_that_was_not_finite_as_one_does(tmp_path):
    flags = ("--config.optim.learning_rate=1e38", "--config.optim.clip_norm=0.0")
    flags += ("--config.optim.warmup_steps=0", "--config.optim.schedule=constant")
    statuses, _ = pair(tmp_path, *flags, "--mode=train")
    assert statuses == {2}
    found = []
    for replay in (
        lambda: pair(tmp_path, *flags, "--mode=replay"),
        lambda: subprocess.run(
            command(*flags, "--mode=replay", f"--workdir={tmp_path}"),
            env=environment(2),
            cwd=ROOT,
            check=True,
        ),
    ):
        replay()
        found.append(json.loads((tmp_path / "results/replay.json").read_text()))
    del found[0]["command"], found[1]["command"]
    assert found[0] == found[1] and found[0]["gradients"]


def test_batches_do_not_depend_on_the_number_of_devices():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    whole = source.from_arrays(images, np.zeros(50, np.int32), ["a"], "random")
    found = []
    for count in (1, 4):
        placement = devices.place(devices=jax.devices()[:count])
        rows = devices.local_rows(placement, 16)
        batches = order.batches(whole, 16, seed=3, rows=rows)
        found.append(
            [np.asarray(devices.put_batch(placement, next(batches))["image"]) for _ in range(5)]
        )
    np.testing.assert_array_equal(*found)
