"""Classifiers trained on arrays in memory, several seeds at once or one after another."""

from collections.abc import Callable, Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int32, Key
from ml_collections import ConfigDict

from ddpm_jax import pixels
from ddpm_jax.assembly.choice import Option, build, key_for
from ddpm_jax.data import order, source
from ddpm_jax.nets import classifier
from ddpm_jax.training import devices, loop, optim, state, step
from ddpm_jax.types import Batch, LossFn, Params, Pixels, Scalars, Trainer


def _resnet(num_classes: int, dropout: float, width: int) -> nn.Module:
    return classifier.resnet(num_classes, widths=(width, 2 * width, 4 * width), dropout=dropout)


NETS = {
    "conv4": Option(lambda num, dropout: classifier.four_conv(num, dropout=dropout)),
    "resnet": Option(_resnet, ("width",)),
}


def build_net(config: ConfigDict, num_classes: int) -> nn.Module:
    return build("classifier.net", config.net, NETS, config, num_classes, config.dropout)


def build_loss(net: nn.Module) -> LossFn:
    """Cross-entropy, summed over the seeds, whose gradients are independent of each other.

    Parameters have a leading axis [S]; a batch is `image` [B, S, H, W, C] and `label` [B, S].
    """

    def one(params: Params, image: Array, label: Array, key: Key[Array, ""]) -> tuple[Array, Array]:
        x, dropout = pixels.to_float(image), {"dropout": key}
        logits = cast(Array, net.apply(params, x, train=True, rngs=dropout))
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()
        return loss, jnp.mean(jnp.argmax(logits, -1) == label)

    def loss_fn(params: Params, batch: Batch, key: Key[Array, ""]) -> tuple[Array, Scalars]:
        keys = jax.random.split(key, batch["label"].shape[1])
        loss, accuracy = jax.vmap(one, (0, 1, 1, 0))(params, batch["image"], batch["label"], keys)
        return loss.sum(), {"accuracy": accuracy.mean()}

    return loss_fn


def build_trainer(
    config: ConfigDict, seed: int, image_shape: tuple[int, int, int], num_classes: int
) -> Trainer:
    """`config` is the classifier section; `seed` is the run's, and each training folds in its own."""
    placement = devices.place()
    net = build_net(config, num_classes)
    loss_fn = build_loss(net)
    rate = optim.warmup_cosine(
        config.learning_rate, num_steps=config.num_steps, warmup_steps=config.warmup_steps
    )
    optimizer = optim.for_each(optim.adamw(rate, weight_decay=config.weight_decay))
    train_step = devices.compile_step(
        placement, step.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.0))
    )

    @jax.jit
    def init(keys: Key[Array, "S"]) -> Params:
        return jax.vmap(lambda key: net.init(key, jnp.zeros((1, *image_shape))))(keys)

    def fit(
        images: Pixels,
        labels: Int32[np.ndarray, "N"],
        seeds: Sequence[int],
        num_steps: int | None = None,
    ) -> Params:
        keys = [jax.random.fold_in(key_for(seed, "classifier"), s) for s in seeds]
        shape = (config.batch_size, len(seeds))
        shapes = {
            "image": jax.ShapeDtypeStruct((*shape, *image_shape), jnp.uint8),
            "label": jax.ShapeDtypeStruct(shape, jnp.int32),
        }
        begin = state.create(init(jnp.stack(keys)), optimizer, loss_fn, shapes)
        read = _batches(placement, config.batch_size, images, labels, seeds)
        end = loop.run(
            train_step,
            devices.replicate(placement, begin),
            (devices.put_batch(placement, batch) for batch in read),
            key=jax.random.fold_in(keys[0], 1),
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


def _batches(placement, batch_size, images, labels, seeds):
    """Batches of all seeds side by side on axis 1, each seed in its own order."""
    whole = source.from_arrays(images, labels, [str(i) for i in range(labels.max() + 1)], "arrays")
    rows = devices.local_rows(placement, batch_size)
    orders = [order.batches(whole, batch_size, seed, rows=rows) for seed in seeds]
    for several in zip(*orders, strict=True):
        yield {name: np.stack([b[name] for b in several], axis=1) for name in ("image", "label")}


def over_batches(
    placement: devices.Placement, function: Callable[[Params, Batch], Array], batch_size: int
) -> Callable[[Params, Pixels], Float[np.ndarray, "N ..."]]:
    """`function(params, batch)` over all images, on all devices; the last batch is padded."""
    compiled = devices.spread(placement, function)
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
