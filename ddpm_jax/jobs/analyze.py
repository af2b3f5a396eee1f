"""--mode=analyze: the data set, its augmentation and the noise; with a trained model, its loss by level."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import augmentation, choice, datasets, denoising
from ddpm_jax.data import source
from ddpm_jax.diffusion import schedules
from ddpm_jax.measuring import forward_chain
from ddpm_jax.models import loss_by_level, trained
from ddpm_jax.training import devices
from ddpm_jax.viz import class_plots, pictures, plots

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
        "images_by_class": save_balance(files.figure("balance.png"), splits),
        "forward_chain": save_forward_chain(chain, config, splits, table),
        "loss_by_t": None,
        "seed": config.seed,
    }
    if files.has_checkpoint():
        model = trained.load_model(config, files.checkpoints(guided=False), guided=False)
        fields |= {"checkpoint": model.facts["step"], "measured_on": splits.validation.name}
        fields["loss_by_t"] = save_losses(files.figure("loss_by_level.png"), config, model, splits)
    if devices.is_writer():
        save_originals(files.figure("originals.png"), splits.train, config.seed)
        for name, section in (
            ("augmented", config.augment),
            ("copies", config.classifier.augment),
        ):
            save_augmented(files.figure(f"{name}.png"), config, splits.train, name, section)
        save_schedule(files.figure("schedule.png"), config, table)
    return fields


def save_balance(path: pathlib.Path, splits: source.Splits) -> dict[str, dict[str, int]]:
    """Print, plot and return the number of images of each class in each split."""
    names = splits.train.class_names
    counts = {part: source.class_counts(split) for part, split in splits._asdict().items()}
    width = max(5, *map(len, names))
    print(f"{'class':<{width}}" + "".join(f"{part:>12}" for part in counts))
    for i, name in enumerate(names):
        print(f"{name:<{width}}" + "".join(f"{count[i]:>12}" for count in counts.values()))
    print(f"{'all':<{width}}" + "".join(f"{count.sum():>12}" for count in counts.values()))
    if devices.is_writer():
        title = f"Images of {splits.train.name.partition('/')[0]} by class"
        plots.save(path, class_plots.balance(counts, names, title=title))
    return {part: dict(zip(names, count.tolist(), strict=True)) for part, count in counts.items()}


def save_originals(path: pathlib.Path, train: source.Source, seed: int) -> None:
    shown = source.in_turn(train, NUM_SHOWN, seed)
    captions = [shown.class_names[label] for label in shown.labels]
    picture = pictures.grid(source.decode(shown), captions=captions, title="Training images")
    pictures.save(path, picture)


def save_augmented(
    path: pathlib.Path, config: ConfigDict, train: source.Source, name: str, section: ConfigDict
) -> None:
    """Save a picture with one row per image: the image, and what the section makes of it."""
    shown = source.in_turn(train, NUM_AUGMENTED, config.seed)
    images = source.decode(shown)
    change = jax.jit(augmentation.build_augmentation(section))
    key = choice.key_for(config.seed, f"analyze {name}")
    columns = [images]
    for copy in range(NUM_COPIES):
        keys = jax.random.split(jax.random.fold_in(key, copy), len(images))
        columns.append(np.asarray(change(keys, jnp.asarray(images))))
    titles = {
        "augmented": "As the generator's training sees them",
        "copies": "As the classifiers' augmentation changes them",
    }
    off = all(np.array_equal(column, images) for column in columns)
    picture = pictures.strip(
        np.stack(columns, axis=1),
        ["real", *(str(copy + 1) for copy in range(NUM_COPIES))],
        row_labels=[shown.class_names[label] for label in shown.labels],
        title=titles[name] + " (no augmentation is on)" * off,
    )
    pictures.save(path, picture)


def save_schedule(path: pathlib.Path, config: ConfigDict, table: schedules.Level) -> None:
    """Plot the run's own schedule beside the two best-known ones."""
    shown = {
        config.schedule.name: table,
        "linear": schedules.linear(1000),
        "cosine": schedules.cosine(1000),
    }
    shown[config.schedule.name] = table
    curves = {
        name: (np.asarray(levels.alpha), np.asarray(levels.sigma)) for name, levels in shown.items()
    }
    plots.save(path, plots.schedules(curves))


def save_forward_chain(
    path: pathlib.Path, config: ConfigDict, splits: source.Splits, table: schedules.Level
) -> dict[str, dict[str, float]]:
    """Noise added step by step against all at once: draws one image, returns mean and spread of all."""
    num = min(64, len(datasets.validation(splits).labels))
    shown = source.stratified(splits.validation, num, config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(shown)))
    rows = np.linspace(0, table.num_steps, NUM_FRAMES).astype(int).tolist()
    key = choice.key_for(config.seed, "forward chain")
    chain, at_once = forward_chain.walk(x0, table, rows, key)
    if devices.is_writer():
        picture = pictures.strip(
            np.asarray(pixels.to_uint8(jnp.stack([chain[:, 0], at_once[:, 0]]))),
            [f"t = {row}" for row in rows],
            row_labels=["step by step", "at once"],
            title="Two ways to x_t: two noises, one distribution",
        )
        pictures.save(path, picture)
    return forward_chain.moments(chain, x0, table, rows)


def save_losses(
    path: pathlib.Path, config: ConfigDict, model: trained.Model, splits: source.Splits
) -> dict[str, dict[str, float]]:
    """Mean squared error of the estimated noise and image at some t, with 95 % normal intervals."""
    num = min(LOSS_IMAGES, len(datasets.validation(splits).labels))
    held_out = source.stratified(splits.validation, num, config.seed)
    rows, mean, half_width = loss_by_level.measure(config, model, held_out)
    if devices.is_writer():
        title = f"Error by noise level, {num} images of {held_out.name}"
        curves = {
            name: plots.Curve(rows, mean[:, i], half_width[:, i])
            for i, name in enumerate(("noise", "clean image"))
        }
        figure = plots.lines(
            curves, x_label="t", y_label="mean squared error", title=title, log_y=True
        )
        plots.save(path, figure)
    names = ("eps", "x0")
    return {
        str(row): {name: float(mean[i, j]) for j, name in enumerate(names)}
        | {f"{name}_ci95": float(half_width[i, j]) for j, name in enumerate(names)}
        for i, row in enumerate(rows)
    }
