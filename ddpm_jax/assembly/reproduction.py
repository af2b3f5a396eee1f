"""What a training step that was not finite leaves behind, and what repeating it shows.

nonfinite/STEP.npz    its images and labels; the meta holds their places in the training split
nonfinite/STEP/       the state before it, a checkpoint like any other
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from ddpm_jax.assembly import denoising, networks, objective, training
from ddpm_jax.assembly.choice import key_for
from ddpm_jax.data import npz, order, source
from ddpm_jax.training import checkpoint_items, checkpoints, devices, loop, nonfinite
from ddpm_jax.training import state as states

NUM_KEPT = 3


def keep(
    config: ConfigDict, train: source.Source, state: states.TrainState, directory: pathlib.Path
) -> pathlib.Path:
    """Write both, and return the path of the batch. All processes of a run must call it together."""
    step = int(state.step)
    with checkpoints.saver(directory, keep=NUM_KEPT) as save:
        save(state.replace(nonfinite_step=-jnp.ones_like(state.nonfinite_step)))
    path = directory / f"{step}.npz"
    if devices.is_writer():
        size = config.training.batch_size
        places = order.indices(len(train.labels), size, config.seed)[step]
        batch = next(order.batches(train, size, config.seed, step))
        meta = {"step": step, "split": train.name, "places": np.asarray(places).tolist()}
        npz.save(path, batch["image"], batch["label"], train.class_names, meta)
    devices.barrier("kept")  # all processes find it
    return path


def find(config: ConfigDict, directory: pathlib.Path) -> tuple[nonfinite.Findings, list[int]]:
    """Repeat the newest step kept in `directory`; returns the findings and the images' places.

    All processes must call it together. Under `training.parallel = "pmap"` the noise is not that of
    the run, where each device draws its own. Raises FileNotFoundError if no step was kept.
    """
    kept = {int(path.stem): path for path in directory.glob("*.npz") if path.stem.isdecimal()}
    if not kept:
        raise FileNotFoundError(f"{directory} holds no step that was not finite: nothing to replay")
    step = max(kept)
    saved, meta = npz.load(kept[step]), npz.load_meta(kept[step])
    net = networks.build_net(config, len(saved.class_names))
    shapes = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    placement = devices.place()
    restored = checkpoints.restore_params(
        directory, devices.abstract(placement, shapes), item="params", step=step
    )
    assert restored is not None  # with a step given, it returns or raises
    mine = devices.local_rows(placement, len(saved.labels))
    batch = {"image": source.decode(saved)[mine], "label": saved.labels[mine]}
    rows = devices.put_batch(placement, batch)
    table = denoising.build_levels(config.schedule)
    loss_fn = objective.build_loss(config, net, table)
    past = objective.build_past(config, table.num_steps)
    # Only the loss is computed again and no step is taken, so no optimizer is needed.
    begin = states.create(restored.params, optax.identity(), loss_fn, rows, past)
    if checkpoint_items.PAST in checkpoint_items.of(begin):
        target = devices.abstract(placement, begin.past)
        stored = checkpoints.restore_params(
            directory, target, item=checkpoint_items.PAST, step=step
        )
        assert stored is not None
        begin = begin.replace(past=stored.params)
    found = nonfinite.inspect(
        loss_fn,
        begin.replace(step=jnp.int32(step)),
        rows,
        key_for(config.seed, "train"),
        accumulate=config.training.accumulate,
        unroll=placement.platform == "cpu",
    )
    return found, meta["places"]


def explain(
    config: ConfigDict, directory: pathlib.Path, parts: training.Parts, error: loop.NonFinite
) -> str:
    """Keep the step for --mode=replay, and say what is known about it."""
    kept = keep(config, parts.splits.train, error.state, directory)
    text = f"{error}; its images are in {kept}, the state before it beside them"
    found, places = find(config, directory)
    shown = ", ".join(map(str, places[:8]))
    return (
        f"{text}; --mode=replay shows it again\n{found}\nimages {shown}, ... of the training split"
    )
