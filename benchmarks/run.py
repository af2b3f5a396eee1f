"""Ours and diffusers side by side, in turns: A B A B, medians and ratios.

    python -m benchmarks.run --out=benchmarks/results/NAME.json [--what train forward sampler input launch]
        [--networks gray64 cifar10 digits] [--batches 16] [--steps-per-call 1 4] [--rounds 7]
        [--peer-python PATH]        a Python with the extra `bench`, if this one has it not

Ratios are the peer's time over ours: above 1 we are faster. Prints a table, writes all as JSON.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys

from benchmarks import launch, turns
from configs import cifar10, default, digits

OURS = "ddpm_jax"
PEER = "diffusers"


def main() -> None:
    arguments = parse()
    ours = turns.Contender(sys.executable, "benchmarks.ours")
    peer = turns.Contender(arguments.peer_python, "benchmarks.peer")
    versions = {OURS: ours.ask(do="versions"), PEER: peer.ask(do="versions")}
    contenders = {OURS: ours} if versions[PEER].get("missing") else {OURS: ours, PEER: peer}
    report = {"machine": machine(), "versions": versions, "command": sys.argv[1:]}
    report["peak"] = peak(contenders, arguments)
    rows = report["rows"] = []
    for what in arguments.what:
        if what == "launch":
            rows.append(launch.measure(arguments.launches))
        for case in cases(what, arguments):
            rows.append(compare(contenders, case, arguments))
            print(line(rows[-1], report["peak"]["gflop_per_second"]), flush=True)
            write(arguments.out, report)
    write(arguments.out, report)
    for contender in (ours, peer):
        contender.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ["train", "forward", "sampler", "input", "launch"]
    parser.add_argument("--what", nargs="*", choices=every, default=every)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--batches", nargs="*", type=int, default=[16])
    parser.add_argument("--steps-per-call", nargs="*", type=int, default=[1])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--samples", type=int, default=64, help="images of the whole sampler")
    parser.add_argument("--sampling-steps", type=int, default=20)
    parser.add_argument("--matmul", type=int, default=2048, help="side of the peak's matrices")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--launches", type=int, default=3, help="cold and cached, each")
    parser.add_argument("--turn-seconds", type=float, default=0.5, help="least length of a turn")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def gray64():
    config = default.get_config()
    config.data.image_size = 32
    config.net.multipliers = (1, 2, 2, 2)
    config.net.attention_resolutions = (16,)
    config.net.class_conditional = False
    return config


def paper():
    config = cifar10.get_config()
    config.net.class_conditional = False
    return config


def tiny():
    config = digits.get_config()
    config.net.multipliers = (1,)
    config.net.num_res_blocks = 1
    return config


NETWORKS = {"gray64": gray64, "cifar10": paper, "digits": digits.get_config, "tiny": tiny}


def config_of(network: str, arguments: argparse.Namespace) -> dict:
    """The same recipe for both: linear schedule, noise predicted, plain MSE, DDIM."""
    config = NETWORKS[network]()
    config.schedule.name = "linear"
    config.loss.prediction = "eps"
    config.loss.label_dropout = 0.0
    config.augment.flip = False
    config.optim.name = "adamw"
    config.optim.weight_decay = 0.0
    config.net.dtype = arguments.dtype
    config.sampling.solver = "ddim"
    config.sampling.eta = 0.0
    config.sampling.guidance_scale = 1.0
    config.sampling.num_steps = arguments.sampling_steps
    config.benchmark = {"num_classes": 10}
    return json.loads(config.to_json_best_effort())


def cases(what: str, arguments: argparse.Namespace) -> list[dict]:
    found = []
    for network in arguments.networks:
        config = config_of(network, arguments)
        if what == "sampler":
            # Without labels: the peer's pipeline has none.
            config["net"]["class_conditional"] = False
            found.append({"batch": arguments.samples, "config": config, "network": network})
        elif what == "input" and network == "digits":
            found.append({"batch": 128, "num_images": 1257, "config": config, "network": network})
        elif what in ("train", "forward"):
            found += [
                {"batch": batch, "config": config, "network": network}
                for batch in arguments.batches
            ]
    return [{"what": what, **case} for case in found]


def compare(contenders, case: dict, arguments: argparse.Namespace) -> dict:
    """Every contender prepares, then they take turns."""
    several = arguments.steps_per_call if case["what"] == "train" else [1]
    entries = [(OURS if k == 1 else f"{OURS} x{k}", contenders[OURS], k) for k in several]
    if PEER in contenders:
        entries.append((PEER, contenders[PEER], 1))
    return {
        name: case[name] for name in ("what", "network", "batch", "size", "dtype") if name in case
    } | take_turns(entries, case, arguments)


def take_turns(entries, case: dict, arguments: argparse.Namespace) -> dict:
    row: dict = {"facts": {}, "seconds": {}}
    calls = {}
    for name, contender, several in entries:
        facts = contender.ask(do="prepare", name=name, steps_per_call=several, **case)
        row["facts"][name], row["seconds"][name] = facts, []
        once = contender.ask(do="time", name=name, calls=1)["seconds"]
        calls[name] = max(1, round(arguments.turn_seconds / once))
    for _ in range(arguments.rounds):
        for name, contender, several in entries:
            seconds = contender.ask(do="time", name=name, calls=calls[name])["seconds"]
            row["seconds"][name].append(seconds / several)
    for name, contender, _ in entries:
        contender.ask(do="forget", name=name)
    row["median"] = {name: statistics.median(times) for name, times in row["seconds"].items()}
    reference = row["seconds"].get(PEER)
    if reference:
        row["ratio"] = {
            name: statistics.median(b / a for a, b in zip(times, reference, strict=True))
            for name, times in row["seconds"].items()
            if name != PEER
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
    name = f"{row['what']:8} {row.get('network', ''):8} batch {row['batch']:4}"
    for contender, seconds in row["median"].items():
        name += f" | {contender} {1e3 * seconds:9.2f} ms"
        if (
            gflop := row["facts"][OURS].get("gflop")
            if row["what"] in ("train", "forward")
            else None
        ):
            name += f" ({gflop / seconds / peak_rate:.0%} of peak)"
    if "ratio" not in row:
        return f"{name} | {PEER} not installed"
    return name + "".join(f" | {value:.2f}x" for value in row["ratio"].values())


def machine() -> dict:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "environment": {
            name: os.environ[name]
            for name in ("XLA_FLAGS", "OMP_NUM_THREADS", "GLIBC_TUNABLES")
            if name in os.environ
        },
    }


def write(path: pathlib.Path, report: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
