"""--mode=analyze: the data set, its augmentation and the noise; with a trained model, its loss by level."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import pixels, run_files, stages
from ddpm_jax.assembly import augmentation, choice, datasets, denoising, networks
from ddpm_jax.data import source
from ddpm_jax.diffusion import losses, process, schedules
from ddpm_jax.models import trained
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures, plots

NUM_SHOWN = 16
NUM_AUGMENTED, NUM_COPIES = 6, 6
NUM_FRAMES = 9
NUM_LEVELS, LOSS_IMAGES = 20, 256


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
    """Images of each class in each split: printed, plotted and returned."""
    names = splits.train.class_names
    counts = {part: source.class_counts(split) for part, split in splits._asdict().items()}
    width = max(5, *map(len, names))
    print(f"{'class':<{width}}" + "".join(f"{part:>12}" for part in counts))
    for i, name in enumerate(names):
        print(f"{name:<{width}}" + "".join(f"{count[i]:>12}" for count in counts.values()))
    print(f"{'all':<{width}}" + "".join(f"{count.sum():>12}" for count in counts.values()))
    if devices.is_writer():
        title = f"Images of {splits.train.name.partition('/')[0]} by class"
        plots.save(path, plots.balance(counts, names, title=title))
    return {part: dict(zip(names, count.tolist(), strict=True)) for part, count in counts.items()}


def save_originals(path: pathlib.Path, train: source.Source, seed: int) -> None:
    shown = source.in_turn(train, NUM_SHOWN, seed)
    captions = [shown.class_names[label] for label in shown.labels]
    picture = pictures.grid(source.decode(shown), captions=captions, title="Training images")
    pictures.save(path, picture)


def save_augmented(
    path: pathlib.Path, config: ConfigDict, train: source.Source, name: str, section: ConfigDict
) -> None:
    """Each row is one image and what the section makes of it."""
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
        "copies": "Copies for the classifier's arm real+augmented",
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
    """The run's own schedule beside the two best known."""
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
    """Noise added step by step, against all at once: one image shown, mean and spread of all."""
    num = min(64, len(splits.validation.labels))
    shown = source.stratified(splits.validation, num, config.seed)
    x0 = pixels.to_float(jnp.asarray(source.decode(shown)))
    key = choice.key_for(config.seed, "forward chain")
    rows = np.linspace(0, table.num_steps, NUM_FRAMES).astype(int)

    @jax.jit
    def walk(x0):
        def one(x, step):
            now, nxt, number = step
            ratio, variance = process.transition(now, nxt)
            noise = jax.random.normal(jax.random.fold_in(key, number), x.shape)
            x = ratio * x + jnp.sqrt(variance) * noise
            return x, x

        steps = table[1:], table[:-1], jnp.arange(table.num_steps)
        _, states = jax.lax.scan(one, x0, steps)
        return jnp.concatenate([x0[None], states])[rows]

    chain = walk(x0)
    eps = jax.random.normal(jax.random.fold_in(key, table.num_steps), x0.shape)
    at_once = jnp.stack([process.noise(x0, table[int(row)], eps) for row in rows])
    if devices.is_writer():
        picture = pictures.strip(
            np.asarray(pixels.to_uint8(jnp.stack([chain[:, 0], at_once[:, 0]]))),
            [f"t = {row}" for row in rows],
            row_labels=["step by step", "at once"],
            title="Two ways to x_t: two noises, one distribution",
        )
        pictures.save(path, picture)
    return {
        str(row): {
            "mean_by_steps": float(chain[i].mean()),
            "mean_at_once": float(table.alpha[int(row)] * x0.mean()),
            "std_by_steps": float(jnp.std(chain[i] - table.alpha[int(row)] * x0)),
            "std_at_once": float(table.sigma[int(row)]),
        }
        for i, row in enumerate(rows)
    }


def save_losses(
    path: pathlib.Path, config: ConfigDict, model: trained.Model, splits: source.Splits
) -> dict[str, dict[str, float]]:
    """Mean squared error of the estimated noise and image at some t, with 95 % normal intervals."""
    num = min(LOSS_IMAGES, len(splits.validation.labels))
    held_out = source.stratified(splits.validation, num, config.seed)
    x0, label = pixels.to_float(jnp.asarray(source.decode(held_out))), jnp.asarray(held_out.labels)
    eps = jax.random.normal(choice.key_for(config.seed, "loss by level"), x0.shape)

    @jax.jit
    def errors(params, level):
        denoise = networks.build_reader(config, networks.build_predict(model.net, params, label))
        estimate = denoise(process.noise(x0, level, eps), level)
        return losses.mse(estimate.eps, eps), losses.mse(estimate.x0, x0)

    # The middles of equal parts: at T itself the error of the noise is next to nothing.
    shares = (np.arange(NUM_LEVELS) + 0.5) / NUM_LEVELS
    rows = np.unique(np.ceil(shares * model.table.num_steps).astype(int))
    each = np.array(
        [errors(model.weights.net, model.table[int(row)]) for row in rows]
    )  # [rows, 2, images]
    mean, half_width = each.mean(axis=2), 1.96 * each.std(axis=2, ddof=1) / np.sqrt(num)
    if devices.is_writer():
        curves = {
            name: plots.Curve(rows, mean[:, i], half_width[:, i])
            for i, name in enumerate(("noise", "clean image"))
        }
        figure = plots.lines(
            curves,
            x_label="t",
            y_label="mean squared error",
            title=f"Error by noise level, {num} images of {held_out.name}",
            log_y=True,
        )
        plots.save(path, figure)
    return {
        str(row): {
            "eps": float(mean[i, 0]),
            "eps_ci95": float(half_width[i, 0]),
            "x0": float(mean[i, 1]),
            "x0_ci95": float(half_width[i, 1]),
        }
        for i, row in enumerate(rows)
    }
