"""How a run is launched: in which environment, and how soon its first training step on digits is done."""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time


def environment() -> dict[str, str]:
    """The environment that the scripts in `launch/` make."""
    told = subprocess.run(
        ["sh", "-c", ". launch/environment.sh; env -0"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in told.stdout.split("\0") if line)


def measure(repeats: int, peer_python: str | None) -> dict:
    """Launches in turn: compile cache empty, filled, and the script of a peer whose Python is given.

    Each round has a cache of its own.
    """
    seconds: dict[str, list[float]] = {"cold": [], "cached": []}
    peer = [peer_python, "-m", "benchmarks.peer_launch"]
    if peer_python:
        seconds["diffusers"] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("cold", "cached"):
                seconds[name].append(first_step(pathlib.Path(folder), name))
        if peer_python:
            begun = time.perf_counter()
            subprocess.run(peer, stdout=subprocess.DEVNULL, check=True)
            seconds["diffusers"].append(time.perf_counter() - begun)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    row = {"what": "launch", "network": "digits", "seconds": seconds, "median": median}
    row["cached_over_cold"] = median["cached"] / median["cold"]
    if peer_python:
        row["over_diffusers"] = {
            name: statistics.median(
                ours / theirs
                for ours, theirs in zip(seconds[name], seconds["diffusers"], strict=True)
            )
            for name in ("cold", "cached")
        }
    print(f"launch: {row}", flush=True)
    return row


def first_step(folder: pathlib.Path, name: str) -> float:
    """Until the first step's numbers are in `metrics.jsonl`; the run is ended there."""
    cached = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    workdir = folder / name
    command = [sys.executable, "-m", "ddpm_jax.main", "--config=configs/digits.py"]
    command += ["--mode=train", f"--workdir={workdir}", "--config.training.log_every=1"]
    begun = time.perf_counter()
    with open(folder / f"{name}.log", "w") as log:
        process = subprocess.Popen(command, env=cached, stdout=log, stderr=log)
    try:
        while not _has_line(workdir / "metrics.jsonl"):
            if process.poll() is not None:
                raise RuntimeError((folder / f"{name}.log").read_text())
            time.sleep(0.01)
        return time.perf_counter() - begun
    finally:
        process.kill()
        process.wait()


def _has_line(path: pathlib.Path) -> bool:
    return path.exists() and "\n" in path.read_text()
