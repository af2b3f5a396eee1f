"""The same run on one device, on four, and on two processes of one device each."""

import json
import os
import socket
import subprocess

import jax
import numpy as np
import pytest
from tiny_run import ROOT, TINY, command, environment, tiny

from ddpm_jax.assembly import trained
from ddpm_jax.data import order, source
from ddpm_jax.training import devices

FLAGS = (
    "--config.training.num_steps=20",
    "--config.training.save_every=20",
    "--config.training.eval_every=20",
    "--config.optim.learning_rate=1e-4",
)


def train(workdir, num_devices):
    flags = ("--mode=train", *FLAGS, f"--workdir={workdir}")
    subprocess.run(command(*flags), env=environment(num_devices), cwd=ROOT, check=True)
    return parameters(workdir)


def parameters(workdir):
    config = tiny()
    return jax.tree.map(np.asarray, trained.load_model(config, workdir / "checkpoints").params)


def largest_difference(one, other):
    """Of any leaf, relative to its largest entry."""
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(np.abs(a - b).max() / np.abs(a).max() for a, b in leaves)


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    return train(tmp_path_factory.mktemp("one"), 1)


@pytest.mark.slow
def test_four_devices_train_the_model_of_one(on_one_device, tmp_path):
    assert largest_difference(on_one_device, train(tmp_path, 4)) < 1e-5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_sample_and_export_as_one_with_two_devices(tmp_path):
    fields = [f"--config.{name}={value}" for name, value in TINY.items()]
    one, two = tmp_path / "one", tmp_path / "two"
    chain = ["--config=configs/digits.py", *fields, *FLAGS]
    for mode in ("train", "export"):
        flags = (*FLAGS, f"--mode={mode}", f"--workdir={one}")
        subprocess.run(command(*flags), env=environment(2), cwd=ROOT, check=True)
        subprocess.run(
            ["sh", "launch/local.sh", "2", *chain, f"--mode={mode}", f"--workdir={two}"],
            env=environment(1) | {"PORT": str(free_port())},
            cwd=ROOT,
            check=True,
        )
    assert largest_difference(parameters(one), parameters(two)) < 1e-5
    made = [np.load(workdir / "synthetic.npz", allow_pickle=False) for workdir in (one, two)]
    # The parameters differ in their last bits, so a few pixels may round to the neighboring value.
    off = np.abs(made[0]["image"].astype(int) - made[1]["image"])
    assert off.max() <= 1 and (off > 0).mean() < 1e-3
    assert json.loads((two / "results/export.json").read_text())["num_images"] == 100
    assert not list(two.glob("*.partial")) and "PORT" not in os.environ


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
