"""What the manifest costs: seconds to save and to restore a checkpoint with it and without.

    python benchmarks/checkpoint_cost.py [--config=configs/cifar10.py] [--repeats=5]

Prints one JSON object. Without the manifest means: Orbax alone, the same arrays in the same items.
The times are medians over repeats in turn, of files that the operating system has in its cache.
"""

import argparse
import json
import pathlib
import runpy
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from ddpm_jax.assembly import networks, optimizers
from ddpm_jax.training import checkpoints, devices, state


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="configs/cifar10.py")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    config = runpy.run_path(arguments.config)["get_config"]()
    begin = initial_state(config)
    with tempfile.TemporaryDirectory() as folder:
        rounds = [
            measure(begin, pathlib.Path(folder) / str(i)) for i in range(arguments.repeats + 1)
        ][1:]  # the first one warms up
    seconds = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    print(
        json.dumps(
            {
                "num_parameters": state.count_parameters(begin.params),
                "repeats": len(rounds),
                **{name: round(value, 4) for name, value in seconds.items()},
                "save_ratio": round(seconds["save"] / seconds["save_plain"], 3),
                "restore_ratio": round(seconds["restore"] / seconds["restore_plain"], 3),
                "platform": jax.default_backend(),
            }
        )
    )


def initial_state(config) -> state.TrainState:
    net = networks.build_net(config, 10)
    params = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    # Not the zeros that a network is begun with: these would be compressed to nothing.
    noise = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(noise.standard_normal(leaf.shape, np.float32)), params
    )
    optimizer = optimizers.build_optimizer(config.optim, 1000)
    begin = state.create(params, optimizer, lambda params, batch, key: (jnp.zeros(()), {}), {})
    return devices.replicate(devices.place(), begin)


def measure(begin: state.TrainState, folder: pathlib.Path) -> dict[str, float]:
    target = devices.abstract(devices.place(), begin)
    times = {}
    started = time.perf_counter()
    with checkpoints.saver(folder / "whole", keep=1) as save:
        save(begin)
    times["save"] = time.perf_counter() - started

    items = {
        "params": begin.params,
        "ema_params": begin.ema_params,
        "rest": {"opt_state": begin.opt_state, "step": begin.step},
    }
    started = time.perf_counter()
    with ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler()) as orbax:
        stored = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        orbax.save(folder / "plain", args=ocp.args.Composite(**stored))
        orbax.wait_until_finished()
    times["save_plain"] = time.perf_counter() - started

    started = time.perf_counter()
    restored = checkpoints.restore(folder / "whole", target)
    jax.block_until_ready(restored.state)
    times["restore"] = time.perf_counter() - started

    wanted = {name: ocp.args.StandardRestore(tree) for name, tree in items.items()}
    started = time.perf_counter()
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as orbax:
        jax.block_until_ready(dict(orbax.restore(folder / "plain", ocp.args.Composite(**wanted))))
    times["restore_plain"] = time.perf_counter() - started
    return times


if __name__ == "__main__":
    main()
