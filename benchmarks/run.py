"""Ours and diffusers side by side, in turns: A B A B, medians and ratios.

    python -m benchmarks.run --out=benchmarks/results/NAME.json
        [--what train forward sampler classifier data loop launch]
        [--networks gray64 cifar10 digits] [--classifiers classifier_8 classifier_28 classifier_32]
        [--batches 16] [--steps-per-call 1 4] [--resident-mib 64] [--rounds 7] [--data-dir PATH]
        [--peer-python PATH]        a Python with the extra `bench`, if this one has it not
        [--edm PATH]                a checkout of NVlabs/edm: `train` and `forward` of its DDPM++ too

Ratios are diffusers' time over the others', in the columns' order: above 1 they are faster. `loop` has no
peer: there it is the time of the same step on one batch over that of the loop with real data. Prints a
table, writes all as JSON.
"""

import argparse
import itertools
import json
import os
import pathlib
import platform
import statistics
import sys
from typing import Any, NamedTuple

from benchmarks import launch, turns
from benchmarks.cases import CLASSIFIERS, NETWORKS, ON_A_GPU, WHATS, cases

OURS = "ddpm_jax"
PEER = "diffusers"
EDM = "edm"
FIXED = "one batch"


class Entry(NamedTuple):
    """A column of a row: who is asked, for what besides the row's case, and the steps of its calls."""

    contender: turns.Contender
    asked: dict[str, Any]
    steps: int = 1


def main() -> None:
    arguments = parse()
    os.environ.update(launch.environment())  # of the processes started here, the peer's too
    started = start(arguments)
    versions = {name: contender.ask(do="versions") for name, contender in started.items()}
    contenders = {name: started[name] for name in started if not versions[name].get("missing")}
    if arguments.edm and EDM not in contenders:
        print(f"{EDM}: {versions[EDM]['missing']} not installed", flush=True)
    report = {"machine": machine(), "versions": versions, "settings": settings(arguments)}
    # Other work on the machine makes all of it worthless, and is not seen in the numbers themselves.
    report["load_before"] = os.getloadavg()[0]
    report["peak"] = peak(contenders, arguments)
    rows = report["rows"] = []
    for what in arguments.what:
        if what == "launch":
            python = arguments.peer_python if PEER in contenders else None
            rows.append(launch.measure(arguments.launches, python))
        for case in cases(what, arguments):
            rows.append(compare(contenders, case, arguments))
            print(line(rows[-1], report["peak"]["gflop_per_second"]), flush=True)
            write(arguments.out, report)
    if versions[OURS]["platform"] == "cpu":
        report["not_measured"] = ON_A_GPU
        for row in ON_A_GPU:
            print(f"{title(row)} {row['dtype']}, on a GPU | not measured")
    write(arguments.out, report)
    for contender in started.values():
        contender.close()


def start(arguments: argparse.Namespace) -> dict[str, turns.Contender]:
    started = {
        OURS: turns.Contender(sys.executable, "benchmarks.ours"),
        PEER: turns.Contender(arguments.peer_python, "benchmarks.peer"),
    }
    if arguments.edm:
        started[EDM] = turns.Contender(arguments.peer_python, "benchmarks.edm", arguments.edm)
    return started


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="*", choices=WHATS, default=WHATS)
    networks = ["gray64", "cifar10", "digits"]
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=networks)
    sizes = list(CLASSIFIERS)
    parser.add_argument("--classifiers", nargs="*", choices=sizes, default=sizes)
    parser.add_argument("--data-dir", default="", help="of TFDS, for the images of `fashion`")
    parser.add_argument("--batches", nargs="*", type=int, default=[16])
    parser.add_argument("--steps-per-call", nargs="*", type=int, default=[1])
    parser.add_argument(
        "--resident-mib", type=int, default=0, help="of images on the device, in `loop`'s calls"
    )
    parser.add_argument("--loop-steps", type=int, default=50, help="of a call of `loop`")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--samples", type=int, default=64, help="images of the whole sampler")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--matmul", type=int, default=2048, help="side of the peak's matrices")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--launches", type=int, default=3, help="cold and cached, each")
    parser.add_argument("--turn-seconds", type=float, default=0.5, help="least length of a turn")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--edm", type=checkout, help="a checkout of NVlabs/edm")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def checkout(path: str) -> str:
    if not pathlib.Path(path, "training", "networks.py").is_file():
        wanted = "a checkout of NVlabs/edm, with training/networks.py"
        raise argparse.ArgumentTypeError(f"got {path!r}, wanted {wanted}")
    return path


def compare(contenders, case: dict, arguments: argparse.Namespace) -> dict:
    """Every contender prepares, then they take turns."""
    several = arguments.steps_per_call if case["what"] == "train" else [1]
    entries = {
        OURS if k == 1 else f"{OURS} x{k}": Entry(contenders[OURS], {"steps_per_call": k}, k)
        for k in several
    }
    reference = PEER
    if case["what"] == "loop":
        reference, entries = FIXED, ways_to_loop(contenders[OURS], arguments)
    else:
        peers = [PEER, EDM] if case["what"] in ("train", "forward") else [PEER]
        entries |= {name: Entry(contenders[name], {}) for name in peers if name in contenders}
    named = ("what", "network", "batch", "size", "dtype")
    row = {name: case[name] for name in named if name in case}
    return row | take_turns(entries, case, arguments, reference)


def ways_to_loop(ours: turns.Contender, arguments: argparse.Namespace) -> dict[str, Entry]:
    asked = {FIXED: {"real": False, "training": {"steps_per_call": 1, "resident_mib": 0}}}
    places = sorted({0, arguments.resident_mib})
    for mib, k in itertools.product(places, arguments.steps_per_call):
        name = OURS + (f" x{k}" if k > 1 else "") + (" resident" if mib else "")
        asked[name] = {"real": True, "training": {"steps_per_call": k, "resident_mib": mib}}
    num = arguments.loop_steps
    return {name: Entry(ours, {"steps": num} | fields, num) for name, fields in asked.items()}


def take_turns(entries, case: dict, arguments: argparse.Namespace, reference: str) -> dict:
    row: dict = {"facts": {}, "seconds": {}}
    calls = {}
    for name, entry in entries.items():
        facts = entry.contender.ask(do="prepare", name=name, **entry.asked, **case)
        row["facts"][name], row["seconds"][name] = facts, []
        once = entry.contender.ask(do="time", name=name, calls=1)["seconds"]
        calls[name] = max(1, round(arguments.turn_seconds / once))
    for _ in range(arguments.rounds):
        for name, entry in entries.items():
            seconds = entry.contender.ask(do="time", name=name, calls=calls[name])["seconds"]
            row["seconds"][name].append(seconds / entry.steps)
    for name, entry in entries.items():
        entry.contender.ask(do="forget", name=name)
    row["median"] = {name: statistics.median(times) for name, times in row["seconds"].items()}
    if reference in entries:
        row["ratio"] = {
            name: statistics.median(
                b / a for a, b in zip(times, row["seconds"][reference], strict=True)
            )
            for name, times in row["seconds"].items()
            if name != reference
        }
    return row


def peak(contenders, arguments: argparse.Namespace) -> dict:
    """The most that this machine was seen to do, by whichever library."""
    cases = [
        {"what": "matmul", "size": arguments.matmul, "dtype": arguments.dtype},
        {"what": "convolution", "batch": arguments.batches[0], "dtype": arguments.dtype},
    ]
    rows = [compare(contenders, case, arguments) for case in cases]
    rates = [row["facts"][OURS]["gflop"] / min(row["median"].values()) for row in rows]
    print(f"peak: {max(rates):.0f} GFLOP/s in {arguments.dtype}", flush=True)
    return {"rows": rows, "gflop_per_second": max(rates)}


def line(row: dict, peak_rate: float) -> str:
    """One row of the table."""
    shown = title(row)
    for contender, seconds in row["median"].items():
        shown += f" | {contender} {1e3 * seconds:9.2f} ms"
        gflop = row["facts"][contender].get("gflop")
        if gflop and row["what"] in ("train", "forward", "classifier"):
            shown += f" ({gflop / seconds / peak_rate:.0%} of peak)"
    if "ratio" not in row:
        return f"{shown} | {PEER} not installed"
    return shown + "".join(f" | {value:.2f}x" for value in row["ratio"].values())


def title(row: dict) -> str:
    return f"{row['what']:8} {row['network']:8} batch {row['batch']:4}"


def settings(arguments: argparse.Namespace) -> dict:
    """The command's, but for where things are on this machine."""
    places = ("out", "peer_python", "edm", "data_dir")
    return {name: value for name, value in vars(arguments).items() if name not in places}


def machine() -> dict:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "environment": {
            name: os.environ[name]
            for name in ("XLA_FLAGS", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "JAX_NUM_CPU_DEVICES")
            if name in os.environ
        },
    }


def processor() -> str:
    """Its name, where Linux tells it."""
    known = pathlib.Path("/proc/cpuinfo")
    for told in known.read_text().splitlines() if known.exists() else []:
        if told.startswith("model name"):
            return told.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(path: pathlib.Path, report: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
