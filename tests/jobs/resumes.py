"""Resume the tiny run from step 3 again and again beside a busy process, and count who ends in the same bits.

    python tests/jobs/resumes.py DIRECTORY [--count=500] [--devices=4]

Each resume is a line of DIRECTORY/JAX-VERSION/ended.jsonl: the same command continues where an earlier one
was stopped. A process resumes `EACH` times with programs that it compiles or loads once; every tenth process
compiles its own, the others load them from the cache that the reference run has filled. Exit status: 0 when
all ended in the bits of the reference, 1 otherwise.
"""

import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from absl import logging
from tiny_run import tiny

from ddpm_jax.jobs import train

EACH = 10
FIELDS = ("params_sha256", "ema_sha256", "validation_loss")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--devices", type=int, default=4, help="simulated CPU devices")
    arguments = parser.parse_args(argv)
    folder = arguments.directory / f"jax-{jax.__version__}-devices-{arguments.devices}"
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__"])
    busy = context.Process(target=spin, daemon=True)
    begun = time.monotonic()
    if not (folder / "reference/results/train.json").exists():
        shutil.rmtree(folder / "reference", ignore_errors=True)
        in_a_process(context, refer, folder, arguments.devices)
    busy.start()
    try:
        while (done := len(ended(folder))) < arguments.count:
            left = min(EACH, arguments.count - done)
            in_a_process(context, resume, folder, arguments.devices, left, done // EACH % 10 == 0)
            print(f"{tally(folder)}; {time.monotonic() - begun:.0f} s", flush=True)
    finally:
        busy.kill()
    print(f"{tally(folder)} on JAX {jax.__version__}, {arguments.devices} devices")
    return 0 if all(line["same"] for line in ended(folder)) else 1


def in_a_process(context, function, *arguments):
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} ended with {process.exitcode}")


def spin():
    while True:
        pass


def refer(folder, devices):
    """The run that nobody interrupts; it fills the cache."""
    prepare(folder / "compiled", devices)
    train.run(short(), folder / "reference")


def resume(folder, devices, count, cold):
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        prepare(pathlib.Path(scratch) / "compiled" if cold else folder / "compiled", devices)
        compile_once(short())
        wanted = json.loads((folder / "reference/results/train.json").read_text())
        for _ in range(count):
            workdir = at_step_3(folder / "reference", pathlib.Path(scratch) / "run")
            found = train.run(short(), workdir)
            assert found["resumed_at"] == 3
            line = {name: found[name] for name in FIELDS} | {"cold": cold}
            line["same"] = all(found[name] == wanted[name] for name in FIELDS)
            with (folder / "ended.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            if not line["same"]:  # what it was resumed from, and what it came to
                shutil.copytree(workdir, folder / f"different-{len(ended(folder))}")
            shutil.rmtree(workdir)


def prepare(cache, devices):
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    logging.set_verbosity(logging.WARNING)
    sys.stdout = sys.stderr = open(os.devnull, "w")


def short():
    config = tiny()
    config.training.sample_every = 1000  # a grid of samples changes no parameter
    return config


def compile_once(config):
    """Let every run of this process use one set of programs; a resume restores its own state."""
    parts = train.training.build_parts(config)
    parts = train.in_training.compiled(config, parts, parts.state)
    train.training.build_parts = lambda config: parts
    train.in_training.compiled = lambda config, parts, begin: parts


def at_step_3(finished, workdir):
    shutil.copytree(finished, workdir)
    shutil.rmtree(workdir / "checkpoints/6")
    (workdir / "results/train.json").unlink()
    return workdir


def ended(folder):
    path = folder / "ended.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tally(folder):
    lines = ended(folder)
    others = collections.Counter(line["params_sha256"][:8] for line in lines if not line["same"])
    text = f"{sum(line['same'] for line in lines)} of {len(lines)} ended in the same bits"
    return text + (f"; others: {dict(others)}" if others else "")


if __name__ == "__main__":
    sys.exit(main())
