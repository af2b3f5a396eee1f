"""What `--mode=plan` predicts, and what then happens: time of the training and of the export, and memory.

    python -m benchmarks.plan_against_run --out=FILE.json --cases digits patches
    python -m benchmarks.plan_against_run --out=FILE.json --cases fashion_mnist --data-dir=DIR --rounds=7

In every round a case is planned in one process, then trained and exported in fresh ones, which find the
programs compiled; what is compared are the medians of the rounds, the ratio being that of a plan to its own
round's run. The time that a run still spends in tracing and loading programs is taken off, and shown. Memory
is measured in a process of its own: the bytes of JAX's live arrays before a step, and by how much the peak of
the process's resident memory grows while steps run. Another case is added to a file that is there.
"""

import argparse
import ctypes
import json
import os
import pathlib
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import launch

HOUR = "configs/studies/fashion_mnist_hour.py"
PATCH = "configs/studies/system4_digits.py"
SHORT = {"classifier.num_seeds": 1, "evaluation.likelihood_images": 0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "digits": (
        "configs/digits.py",
        {"training.num_steps": 120, "training.eval_every": 60, "training.save_every": 60,
         "training.sample_every": 60, "export.num_images": 1000},
    ),
    "fashion_mnist": (
        HOUR,
        {"training.num_steps": 80, "training.eval_every": 40, "training.save_every": 40,
         "training.sample_every": 40, "optim.warmup_steps": 20, "export.num_images": 1000},
    ),
    "patches": (
        PATCH,
        {"training.num_steps": 80, "training.eval_every": 40, "training.save_every": 40,
         "training.sample_every": 40, "export.num_images": 2000},
    ),
}  # fmt: skip
MEASURED_STEPS = 4
# An allocation of 64 KiB or more is taken from the system and given back when it is freed: the resident
# memory then follows the allocations, where `launch/environment.sh` has it keep what was ever taken.
GIVEN_BACK = "glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--data-dir", default="", help="where TFDS keeps Fashion-MNIST")
    parser.add_argument("--rounds", type=int, default=5, help="of a plan, a training and an export")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}; it must be at least 1")
    os.environ.update(launch.environment())  # of the processes started here
    out = pathlib.Path(arguments.out)
    content = json.loads(out.read_text()) if out.exists() else {"cases": {}}
    for name in arguments.cases:
        content["cases"][name] = row = measure(name, arguments.data_dir, arguments.rounds)
        flags = f"--rounds={arguments.rounds} --data-dir=DIR"
        content["command"] = f"python -m benchmarks.plan_against_run {flags}"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(content, indent=1) + "\n")
        print(name, json.dumps(row["compared"], indent=1), flush=True)


def measure(name: str, data_dir: str, num_rounds: int) -> dict[str, Any]:
    path, fields = CASES[name]
    fields = SHORT | fields
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # programs compiled by this case alone
        request = {"config": path, "fields": fields | {"data.data_dir": data_dir}}
        rounds = []
        for number in range(num_rounds):
            of_round = request | {"workdir": f"{folder}/run{number}"}
            jobs = ("plan", "train", "export")
            rounds.append({job: ask(of_round | {"job": job}) for job in jobs})
        memory = ask(request | {"job": "memory"}, {"GLIBC_TUNABLES": GIVEN_BACK})
    # The last round's facts; the times of all rounds are in `compared`.
    return {
        "config": path,
        "fields": fields,
        "compared": compare(rounds, memory),
        **rounds[-1],
        "memory": memory,
    }


def compare(rounds: list[dict[str, Any]], memory: dict[str, Any]) -> dict[str, Any]:
    """What was planned beside what happened: seconds of each round, MiB of all devices."""
    compared = {
        stage: against(
            [found["plan"]["fields"]["stages"][stage]["seconds"] for found in rounds],
            [found[stage]["without_compiling"] for found in rounds],
        )
        for stage in ("train", "export")
    }
    planned = rounds[-1]["plan"]["fields"]
    on_all_devices = planned["memory"]["training"] * planned["num_devices"]
    return compared | {
        "memory_mib": against([on_all_devices / 2**20], [memory["measured"] / 2**20])
    }


def against(predicted: list[float], measured: list[float]) -> dict[str, Any]:
    """Medians, and the median of the rounds' own ratios."""
    ratios = [plan / run for plan, run in zip(predicted, measured, strict=True)]
    return {
        "predicted": round(statistics.median(predicted), 2),
        "measured": round(statistics.median(measured), 2),
        "ratio": round(statistics.median(ratios), 3),
        "rounds": [
            [round(number, 2) for number in pair] for pair in zip(predicted, measured, strict=True)
        ],
    }


def ask(request: dict[str, Any], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What a process of its own answers."""
    command = [sys.executable, "-m", "benchmarks.plan_against_run", "--out=-"]
    asked = subprocess.run(
        [*command, f"--child={json.dumps(request)}"],
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    *printed, answer = asked.stdout.splitlines()
    return json.loads(answer) | {"printed": printed[1:] if request["job"] == "plan" else None}


def child(request: dict[str, Any]) -> dict[str, Any]:
    from ddpm_jax import command_line

    command_line.keep_compiled_programs()
    import jax

    from ddpm_jax.jobs import export, plan, train

    compiling: list[tuple[float, float]] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            compiling.append((time.monotonic() - seconds, time.monotonic()))

    jax.monitoring.register_event_duration_secs_listener(listen)
    config = runpy.run_path(request["config"])["get_config"]()
    config.update_from_flattened_dict(request["fields"])
    if request["job"] == "memory":
        return memory(config)
    job = {"plan": plan, "train": train, "export": export}[request["job"]]
    fields = job.run(config, pathlib.Path(request["workdir"]))
    begun = time.monotonic() - fields.get("seconds", 0.0)
    spent = covered(compiling, begun)
    fields.pop("command", None)  # this process's own, with the places of this machine
    found = {"compiling": round(spent, 2), "versions": fields.pop("versions")}
    if job is plan:
        return found | {"fields": fields}
    seconds = fields["seconds"]
    return found | {"seconds": seconds, "without_compiling": round(seconds - spent, 2)}


def covered(parts: list[tuple[float, float]], since: float) -> float:
    """Seconds after `since` in any of the intervals: compiling a function compiles those within it."""
    total, until = 0.0, since
    for begin, end in sorted(parts):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def memory(config: Any) -> dict[str, Any]:
    """Bytes of live arrays, and of what a step adds to the resident memory at its peak."""
    import jax

    from ddpm_jax.assembly import choice, training
    from ddpm_jax.models import in_training
    from ddpm_jax.planning import requirements

    parts = training.build_parts(config)
    step = requirements.compile_training(parts.placement, parts.programs).program
    batches = in_training.batches(config, parts, 0)
    key, state = choice.key_for(config.seed, "train"), parts.state
    del parts
    batch = jax.block_until_ready(next(batches))
    state = jax.block_until_ready(step(state, batch, key))  # loads the program's own code
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what compiling left would hide what a step takes
    live = sum(part.data.nbytes for array in jax.live_arrays() for part in array.addressable_shards)
    before = resident("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    for _ in range(MEASURED_STEPS):
        state = jax.block_until_ready(step(state, batch, key))
    grown = resident("VmHWM") - before
    return {"live": live, "grown": grown, "measured": live + grown}


def resident(name: str) -> int:
    text = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(name))


if __name__ == "__main__":
    main()
