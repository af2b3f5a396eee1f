"""The benchmark's dry run: everything once, tiny, with a peer that is not installed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_measures_everything_and_says_what_is_not_there(tmp_path):
    # Found before an installed one; `benchmarks.peer` imports it first.
    absent = "raise ImportError('none here', name='diffusers')"
    (tmp_path / "diffusers.py").write_text(absent)
    out = tmp_path / "benchmark.json"
    command = [sys.executable, "-m", "benchmarks.run", f"--out={out}", "--networks", "tiny"]
    command += ["--what", "train", "forward", "sampler", "data", "loop", "--batches", "4"]
    command += ["--steps-per-call", "1", "2", "--samples", "4", "--sampling-steps", "2"]
    command += ["--rounds", "2", "--turn-seconds", "0", "--matmul", "16", "--loop-steps", "2"]
    command += ["--resident-mib", "1"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("diffusers not installed") == 4
    assert done.stdout.count("on a GPU | not measured") == 3
    text = out.read_text()
    assert str(ROOT) not in text and str(tmp_path) not in text
    report = json.loads(text)
    assert report["versions"]["diffusers"] == {"missing": "diffusers"}
    rows = {row["what"]: row for row in report["rows"]}
    assert list(rows) == ["train", "forward", "sampler", "data", "loop"]
    names = {what: list(row["seconds"]) for what, row in rows.items()}
    assert names["train"] == ["ddpm_jax", "ddpm_jax x2"]
    ways = ["ddpm_jax", "ddpm_jax x2", "ddpm_jax resident", "ddpm_jax x2 resident"]
    assert names["loop"] == ["one batch", *ways]
    assert all(len(times) == 2 for row in rows.values() for times in row["seconds"].values())
    # Forward, gradient by the input, gradient by the weights: about three times the work.
    gflop = [rows[what]["facts"]["ddpm_jax"]["gflop"] for what in ("train", "forward")]
    assert 2.5 < gflop[0] / gflop[1] < 4.0
