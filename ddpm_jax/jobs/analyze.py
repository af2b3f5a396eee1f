"""--mode=analyze: the data set, its augmentation and the noise; with a trained model, its loss by level."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import augmentation, choice, datasets, denoising
from ddpm_jax.data import division, source
from ddpm_jax.diffusion import schedules
from ddpm_jax.measuring import forward_chain
from ddpm_jax.models import loss_by_level, trained
from ddpm_jax.reporting import analysis
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures, plots

NUM_SHOWN = 16
NUM_AUGMENTED, NUM_COPIES = 6, 6
NUM_FRAMES = 9
LOSS_IMAGES = 256


@stages.stage("analyze")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    splits = datasets.build_splits(config.data, config.seed)
    table = denoising.build_levels(config.schedule)
    chain = files.figure("forward_chain.png")
    fields = {
        "images_by_class": count_classes(files.figure("balance.png"), splits),
        "forward_chain": add_noise(chain, config, splits, table),
        "loss_by_t": None,
        "seed": config.seed,
    }
    if not len(splits.validation.labels):
        print("[analyze] no loss by level: there are no validation images", flush=True)
    elif files.has_checkpoint():
        model = trained.load_model(config, files.checkpoints(guided=False), guided=False)
        path = files.figure("loss_by_level.png")
        fields |= {"checkpoint": model.facts["step"], "measured_on": splits.validation.name}
        fields["loss_by_t"] = measure_losses(path, config, model, splits)
    if devices.is_writer():
        save_originals(files.figure("originals.png"), splits.train, config.seed)
        changed = {"augmented": config.augment, "copies": config.classifier.augment}
        for name, section in changed.items():
            save_augmented(files.figure(f"{name}.png"), config, splits.train, name, section)
        save_schedule(files.figure("schedule.png"), config, table)
    return fields


def count_classes(path: pathlib.Path, splits: source.Splits) -> dict[str, dict[str, int]]:
    """Print, plot and return the number of images of each class in each split."""
    names = splits.train.class_names
    counts = {part: source.class_counts(split) for part, split in splits._asdict().items()}
    print(analysis.classes_table(counts, names))
    if devices.is_writer():
        analysis.draw_classes(path, counts, names, splits.train.name.partition("/")[0])
    return {part: dict(zip(names, count.tolist(), strict=True)) for part, count in counts.items()}


def add_noise(
    path: pathlib.Path, config: ConfigDict, splits: source.Splits, table: schedules.Level
) -> dict[str, dict[str, float]]:
    """Noise added step by step against all at once: draws one image, returns mean and spread of all."""
    some = datasets.to_show(splits)
    shown = division.stratified(some, min(64, len(some.labels)), config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(shown)))
    rows = np.linspace(0, table.num_steps, NUM_FRAMES).astype(int).tolist()
    key = choice.key_for(config.seed, "forward chain")
    chain, at_once = forward_chain.walk(x0, table, rows, key)
    if devices.is_writer():
        first = pixels.to_uint8(jnp.stack([chain[:, 0], at_once[:, 0]]))
        analysis.draw_forward_chain(path, np.asarray(first), rows)
    return forward_chain.moments(chain, x0, table, rows)


def measure_losses(
    path: pathlib.Path, config: ConfigDict, model: trained.Model, splits: source.Splits
) -> dict[str, dict[str, float]]:
    """Mean squared error of the estimated noise and image at some t, with 95 % normal intervals."""
    held_out = datasets.validation(splits)
    num = min(LOSS_IMAGES, len(held_out.labels))
    held_out = division.stratified(held_out, num, config.seed)
    measured = loss_by_level.measure(config, model, held_out)
    if devices.is_writer():
        analysis.draw_losses(path, *measured, f"{num} images of {held_out.name}")
    return analysis.losses_by_t(*measured)


def save_originals(path: pathlib.Path, train: source.Source, seed: int) -> None:
    shown = division.in_turn(train, NUM_SHOWN, seed)
    captions = [shown.class_names[label] for label in shown.labels]
    images = source.decode(shown)
    pictures.save(path, pictures.grid(images, captions=captions, title="Training images"))


def save_augmented(
    path: pathlib.Path, config: ConfigDict, train: source.Source, name: str, section: ConfigDict
) -> None:
    """Save a picture with one row per image: the image, and what the section makes of it."""
    shown = division.in_turn(train, NUM_AUGMENTED, config.seed)
    columns = [images := source.decode(shown)]
    change = jax.jit(augmentation.build_augmentation(section))
    key = choice.key_for(config.seed, f"analyze {name}")
    for copy in range(NUM_COPIES):
        keys = jax.random.split(jax.random.fold_in(key, copy), len(images))
        columns.append(np.asarray(change(keys, jnp.asarray(images))))
    names = [shown.class_names[label] for label in shown.labels]
    analysis.draw_augmented(path, analysis.AUGMENTED[name], columns, names)


def save_schedule(path: pathlib.Path, config: ConfigDict, table: schedules.Level) -> None:
    """Plot the run's own schedule beside the two best-known ones."""
    own = {config.schedule.name: table}
    shown = own | {"linear": schedules.linear(1000), "cosine": schedules.cosine(1000)} | own
    curves = {
        name: (np.asarray(levels.alpha), np.asarray(levels.sigma)) for name, levels in shown.items()
    }
    plots.save(path, plots.schedules(curves))
