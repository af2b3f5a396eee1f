"""--mode=train_classifier: the classifier that `sampling.classifier_scale` guides samples by.

It sees training images only, noised to every level as the generator sees them, with t as an input.
"""

import contextlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, progress, rundir
from ddpm_jax.assembly import choice, datasets, denoising, guides, trained
from ddpm_jax.data import order, source
from ddpm_jax.diffusion import process, schedules
from ddpm_jax.training import checkpoints, devices, loop, optim, state, step
from ddpm_jax.types import Params
from ddpm_jax.viz import plots

NUM_LEVELS = 11
MOST_TESTED = 1024


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    sections = ("data", "augment", "schedule", "guide")
    inputs = rundir.model_inputs(config.to_dict(), sections)
    outputs = [rundir.figures(workdir) / "guide.png"] if config.guide.noised else []
    return rundir.stage(
        workdir,
        "train_classifier",
        inputs,
        lambda: train_classifier(config, workdir, rundir.digest(inputs)),
        outputs,
    )


def train_classifier(config: ConfigDict, workdir: pathlib.Path, made_from: str) -> dict[str, Any]:
    splits = datasets.build_splits(config.data, config.seed)
    table = denoising.build_levels(config.schedule)
    net = guides.build_net(config.guide, len(splits.train.class_names))
    params = fit(config, net, table, splits.train)
    directory = trained.guide_directory(rundir.checkpoints(workdir))
    with checkpoints.saver(directory, keep=1, config_digest=made_from) as save:
        save(params, extra={"class_names": splits.train.class_names})
    accuracies = by_level(config, net, params.ema_params, table, splits.validation)
    if config.guide.noised and devices.is_writer():
        t = np.array(list(accuracies), np.float64)
        curve = plots.Curve(t, 100 * np.array(list(accuracies.values())))
        figure = plots.lines(
            {"guide": curve},
            x_label="t",
            y_label="accuracy (%)",
            title=f"Guiding classifier on noised images of {splits.validation.name}",
            levels={"chance": 100 / len(splits.train.class_names)},
        )
        plots.save(rundir.figures(workdir) / "guide.png", figure)
    return {
        "step": config.guide.num_steps,
        "accuracy_by_t": accuracies,
        "measured_on": splits.validation.name,
        "n": min(len(splits.validation.labels), MOST_TESTED),
        "seed": config.seed,
    }


def fit(config: ConfigDict, net: Any, table: schedules.Level, train: source.Source) -> Any:
    """The state after the last step."""
    placement = devices.place()
    guide = config.guide
    key = choice.key_for(config.seed, "guide")
    params = guides.init_net(net, guide, key, datasets.image_shape(config))
    rate = optim.warmup_cosine(guide.learning_rate, num_steps=guide.num_steps)
    optimizer = optim.adamw(rate, weight_decay=0.01)
    loss_fn = guides.build_loss(config, net, table)
    size = -(-guide.batch_size // placement.num_devices) * placement.num_devices
    shapes = {
        "image": jax.ShapeDtypeStruct((size, *datasets.image_shape(config)), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }
    train_step = step.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.99))
    rows = devices.local_rows(placement, size)
    read = order.batches(train, size, config.seed, rows=rows)
    with contextlib.ExitStack() as stack:
        show = stack.enter_context(progress.bar("guide", guide.num_steps, "steps"))
        return loop.run(
            devices.compile_step(placement, train_step),
            devices.replicate(placement, state.create(params, optimizer, loss_fn, shapes)),
            (devices.put_batch(placement, batch) for batch in read),
            key=jax.random.fold_in(key, 1),
            num_steps=guide.num_steps,
            log_every=max(1, guide.num_steps // 10),
            on_log=lambda done, values: show(done, loss=values["loss"]),
        )


def by_level(
    config: ConfigDict, net: Any, params: Params, table: schedules.Level, held_out: source.Source
) -> dict[str, float]:
    """Accuracy at some t, on validation images; only at t = 0 for a classifier of clean images."""
    held_out = source.take(held_out, range(min(len(held_out.labels), MOST_TESTED)))
    x0 = pixels.to_float(jnp.asarray(source.decode(held_out)))
    eps = jax.random.normal(choice.key_for(config.seed, "guide accuracy"), x0.shape)

    @jax.jit
    def accuracy(params, level):
        t = jnp.broadcast_to(level.t, x0.shape[:1]) if config.guide.noised else None
        logits = net.apply(params, process.noise(x0, level, eps), t)
        return jnp.mean(jnp.argmax(logits, -1) == held_out.labels)

    last = table.num_steps if config.guide.noised else 0
    rows = np.unique(np.linspace(0, last, NUM_LEVELS).astype(int))
    return {str(row): float(accuracy(params, table[int(row)])) for row in rows}
