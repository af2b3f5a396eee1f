"""A whole trainer of the training island: `python train_program.py FOLDER NUM_STEPS SECONDS_A_STEP`.

It prints `step N` after each step and leaves metrics.jsonl and result.json in the folder. The tests
run it as a process of its own, to stop it by a signal or to run two that work as one.
"""

import contextlib
import json
import pathlib
import sys
import time

import jax
import regression

from ddpm_jax.training import checkpoints, devices, fingerprint, lock, loop, signals


def main(folder, num_steps, seconds_a_step):
    devices.initialize_distributed(heartbeat_seconds=10)
    placement = devices.place()
    start = devices.replicate(placement, regression.fresh())
    writer = devices.is_writer()
    with (
        signals.deferred() as received,
        lock.owned(folder) if writer else contextlib.nullcontext(),
        checkpoints.saver(folder / "checkpoints", keep=2) as save,
    ):
        restored = checkpoints.restore(folder / "checkpoints", devices.abstract(placement, start))
        state = restored.state if restored else start
        log = open_log(folder / "metrics.jsonl", int(state.step)) if writer else None
        state = loop.run(
            regression.compiled_step(placement, regression.noisy_loss),
            state,
            batches(placement, int(state.step), seconds_a_step),
            key=jax.random.key(regression.KEY_SEED),
            num_steps=num_steps,
            log_every=4,
            on_log=lambda step, values: write_line(log, step, values),
            actions=[
                loop.Action(1, lambda step, state: print("step", step, flush=True)),
                loop.Action(7, lambda step, state: save(state)),
            ],
            stop=devices.agreed(placement, received),
        )
        save(state)
    if int(state.step) < num_steps:
        print(f"stopped by {received()} after step {int(state.step)}", flush=True)
        sys.exit(signals.STOPPED)
    if writer:
        result = {
            "step": int(state.step),
            "params_sha256": fingerprint.sha256(state.params),
            "ema_sha256": fingerprint.sha256(state.ema_params),
            "params": [leaf.ravel().tolist() for leaf in jax.tree.leaves(state.params)],
        }
        (folder / "result.json").write_text(json.dumps(result))
    devices.barrier("end")


def batches(placement, first, seconds_a_step):
    number = first
    while True:
        time.sleep(seconds_a_step)
        rows = devices.local_rows(placement, 24)
        batch = {name: array[rows] for name, array in regression.batch(number).items()}
        yield devices.put_batch(placement, batch)
        number += 1


def open_log(path, step):
    """Without the lines that come after `step`: the run is about to write them again."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    path.write_text("".join(f"{line}\n" for line in kept))
    return path.open("a", buffering=1)


def write_line(log, step, values):
    if log is not None:
        log.write(json.dumps({"step": step, **values}) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
