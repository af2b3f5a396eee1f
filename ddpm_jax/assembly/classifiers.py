"""Classifiers trained on arrays in memory, several seeds at once or one after another."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32, Int32, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.augmentation import build_augmentation, mixup_alpha
from ddpm_jax.assembly.choice import Option, build, choose, key_for
from ddpm_jax.data import augment_colors, order
from ddpm_jax.evaluation.worth import require_seeds
from ddpm_jax.nets import classifier
from ddpm_jax.training import compilation, devices, loop, optim, state, step
from ddpm_jax.types import Batch, LossFn, Params, Pixels, Scalars, Trainer


def _resnet(num_classes: int, dropout: float, width: int) -> nn.Module:
    return classifier.resnet(num_classes, widths=(width, 2 * width, 4 * width), dropout=dropout)


NETS = {
    "conv4": Option(lambda num, dropout: classifier.four_conv(num, dropout=dropout)),
    "resnet": Option(_resnet, ("width",)),
}


def any_arm(config: ConfigDict, *suffixes: str) -> bool:
    """Whether an arm of the classifier section has one of the suffixes, such as ", soft"."""
    return any(suffix in arm for suffix in suffixes for arm in config.arms)


def num_ensemble(config: ConfigDict) -> int:
    """Classifiers of the ensemble that the arms need, if they need one."""
    return config.ensemble.num if any_arm(config, ", selected", ", soft") else 0


def check(config: ConfigDict) -> None:
    """Raises ValueError if the classifier section gives no interval, or no baseline on test images.

    Also if it names no known network.
    """
    choose("classifier.net", config.net, NETS)
    require_seeds("classifier.num_seeds", config.num_seeds)
    if "real" not in config.arms and config.split == "test":
        raise ValueError(
            f"classifier.arms is {[*config.arms]}; it must hold 'real', the baseline of the others"
        )


def build_net(config: ConfigDict, num_classes: int) -> nn.Module:
    return build("classifier.net", config.net, NETS, config, num_classes, config.dropout)


def build_loss(net: nn.Module) -> LossFn:
    """Cross-entropy, summed over the seeds, whose gradients are independent of each other.

    Parameters have a leading axis [S]; a batch is `image` [B, S, H, W, C] and `label`, classes [B, S] or
    probabilities of classes [B, S, K].
    """

    def one(params: Params, image: Array, label: Array, key: Key[Array, ""]) -> tuple[Array, Array]:
        return _cross_entropy(net, params, pixels.to_float(image), label, key)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        keys = jax.random.split(key, batch["label"].shape[1])
        loss, accuracy = jax.vmap(one, (0, 1, 1, 0))(params, batch["image"], batch["label"], keys)
        return loss.sum(), {"accuracy": accuracy.mean()}

    return loss_fn


def build_augmented_loss(net: nn.Module, section: ConfigDict, num_classes: int) -> LossFn:
    """`build_loss` of augmented images; `section` is `classifier.augment`.

    A batch also holds `seed` [B, S], the same in each row: what a seed draws depends on the step's key and
    on the seed alone. If it holds `augmented` [B, S], the other images stay as they are, but for mixup.
    """
    change, alpha = build_augmentation(section), mixup_alpha(section)

    def one(params: Params, rows: Batch, seed: Array, key: Key[Array, ""]) -> tuple[Array, Array]:
        image, label = pixels.to_float(rows["image"]), rows["label"]
        augment_key, mixup_key, dropout_key = jax.random.split(jax.random.fold_in(key, seed), 3)
        x = change(jax.random.split(augment_key, len(image)), image)
        if "augmented" in rows:
            x = jnp.where(rows["augmented"][:, None, None, None], x, image)
        if alpha:
            shares = label if label.ndim == 2 else jax.nn.one_hot(label, num_classes)
            keys = jax.random.split(mixup_key, len(image))
            x, label = augment_colors.mixup(keys, x, shares, alpha=alpha)
        return _cross_entropy(net, params, x, label, dropout_key)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        rows = {name: value for name, value in batch.items() if name != "seed"}
        loss, accuracy = jax.vmap(one, (0, 1, 0, None))(params, rows, batch["seed"][0], key)
        return loss.sum(), {"accuracy": accuracy.mean()}

    return loss_fn


def _cross_entropy(
    net: nn.Module, params: Params, x: Array, label: Array, key: Key[Array, ""]
) -> tuple[Array, Array]:
    """Mean cross-entropy against classes [B] or probabilities [B, K], and the accuracy."""
    logits = cast(Array, net.apply(params, x, train=True, rngs={"dropout": key}))
    if label.ndim == 1:
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
    else:
        loss = optax.softmax_cross_entropy(logits, label).mean()
        label = jnp.argmax(label, -1)
    return loss, jnp.mean(jnp.argmax(logits, -1) == label)


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """For parameters with a leading axis [S]."""
    rate = optim.warmup_cosine(
        config.learning_rate, num_steps=config.num_steps, warmup_steps=config.warmup_steps
    )
    return optim.for_each(optim.adamw(rate, weight_decay=config.weight_decay))


def build_trainer(
    config: ConfigDict, seed: int, image_shape: tuple[int, int, int], num_classes: int
) -> Trainer:
    """`config` is the classifier section; `seed` is the run's, and each training folds in its own."""
    placement = devices.place()
    net = build_net(config, num_classes)
    optimizer = build_optimizer(config)

    @functools.cache
    def program(augmented: bool) -> tuple[LossFn, step.TrainStep]:
        """The loss and the compiled step, made when they are first used."""
        augment = build_augmented_loss(net, config.augment, num_classes) if augmented else None
        loss_fn = augment or build_loss(net)
        made = step.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.0))
        return loss_fn, compilation.compile_step(placement, made)

    @compilation.compile_briefly
    def init(keys: Key[Array, " S"]) -> Params:
        return jax.vmap(lambda key: net.init(key, jnp.zeros((1, *image_shape))))(keys)

    def fit(
        images: Pixels,
        labels: Int32[np.ndarray, " N"] | Float32[np.ndarray, "N K"],
        seeds: Sequence[int],
        num_steps: int | None = None,
        *,
        augmented: bool | Bool[np.ndarray, " N"] = False,
    ) -> Params:
        augments = bool(np.any(augmented))
        loss_fn, train_step = program(augments)
        keys = [jax.random.fold_in(key_for(seed, "classifier"), s) for s in seeds]
        # The key of a training without augmentation is its first seed's.
        augment_key = key_for(seed, "classifier augmentation")
        read = _batches(placement, config.batch_size, images, labels, seeds, augmented)
        batches = (devices.put_batch(placement, batch) for batch in read)
        first = next(batches)
        begin = state.create(init(jnp.stack(keys)), optimizer, loss_fn, first)
        end = loop.run(
            train_step,
            devices.replicate(placement, begin),
            itertools.chain([first], batches),
            key=augment_key if augments else jax.random.fold_in(keys[0], 1),
            num_steps=num_steps or config.num_steps,
            log_every=config.num_steps,
            on_log=lambda done, values: None,
        )
        return end.params

    return Trainer(fit, *_build_readers(placement, net))


def _build_readers(
    placement: devices.Placement, net: nn.Module
) -> tuple[Callable[[Params, Pixels], np.ndarray], Callable[[Params, Pixels], np.ndarray]]:
    """`Trainer.predict` and `Trainer.features`."""

    def apply(method: str, x: Array, params: Params) -> Array:
        def one(params: Params) -> Array:
            return cast(Array, net.apply(params, x, method=method))

        return jax.vmap(one, out_axes=1)(params)

    def probabilities(params: Params, rows: Batch) -> Float[Array, "B S K"]:
        return jax.nn.softmax(apply("__call__", pixels.to_float(rows["image"]), params))

    def features(params: Params, rows: Batch) -> Float[Array, "B S D"]:
        return apply("features", pixels.to_float(rows["image"]), params)

    predict, extract = (over_batches(placement, f, 512) for f in (probabilities, features))
    return (
        lambda params, images: predict(params, images).swapaxes(0, 1),
        lambda params, images: extract(params, images).swapaxes(0, 1),
    )


def _batches(placement, batch_size, images, labels, seeds, augmented):
    """Batches of all seeds side by side on axis 1, each seed in its own order."""
    rows = devices.local_rows(placement, batch_size)
    orders = [order.indices(len(images), batch_size, seed) for seed in seeds]
    augments = np.any(augmented)
    for number in itertools.count():
        at = np.stack([of_seed[number][rows] for of_seed in orders], axis=1)
        batch = {"image": images[at], "label": labels[at]}
        if augments:
            batch["seed"] = np.broadcast_to(np.array(seeds, np.int32), at.shape)
        if isinstance(augmented, np.ndarray):
            batch["augmented"] = augmented[at]
        yield batch


def over_batches(
    placement: devices.Placement, function: Callable[[Params, Batch], Array], batch_size: int
) -> Callable[[Params, Pixels], Float[np.ndarray, "N ..."]]:
    """`function(params, batch)` over all images, on all devices; the last batch is padded."""
    compiled = compilation.spread(placement, function)
    size = placement.rounded_up(batch_size)
    mine = devices.local_rows(placement, size)

    def run(params: Params, images: Pixels) -> np.ndarray:
        results = []
        for start in range(0, len(images), size):
            rows = np.take(images, np.arange(start, start + size), axis=0, mode="clip")
            batch = devices.put_batch(placement, {"image": rows[mine]})
            results.append(devices.gather(compiled(params, batch)))
        return np.concatenate(results)[: len(images)]

    return run
