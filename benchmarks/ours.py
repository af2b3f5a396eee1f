"""This project's side of the measurements; `benchmarks.run` starts it."""

import os
import weakref
from collections.abc import Mapping
from typing import Any

# The peer shares the accelerator.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from ml_collections import ConfigDict

from benchmarks import turns
from ddpm_jax import pixels
from ddpm_jax.assembly import (
    choice,
    classifiers,
    datasets,
    denoising,
    networks,
    objective,
    optimizers,
    training,
)
from ddpm_jax.data import order
from ddpm_jax.models import in_training, trained
from ddpm_jax.training import calls, compilation, devices, optim
from ddpm_jax.training import loop as training_loop
from ddpm_jax.training import state as states
from ddpm_jax.training import step as steps


def as_config(plain: Mapping[str, Any]) -> ConfigDict:
    return ConfigDict(_tuples(plain))


def _tuples(value: Any) -> Any:
    """JSON knows lists only; a Flax module is hashed with its fields."""
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(value) if isinstance(value, list) else value


def build(config: ConfigDict):
    net = networks.build_net(config, config.benchmark.num_classes)
    return net, networks.init_net(net, config.data, choice.key_for(config.seed, "init"))


def random_batch(config: ConfigDict, num: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num, *datasets.image_shape(config)), np.uint8)
    labels = rng.integers(0, config.benchmark.num_classes, num, np.int32)
    return {"image": images, "label": labels}


def train(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """Noise, network, gradient, clipping, optimizer and average; `steps_per_call` steps a call."""
    config, together = as_config(plain), request["steps_per_call"]
    net, params = build(config)
    placement = devices.place()
    loss_fn = objective.build_loss(config, net, denoising.build_levels(config.schedule))
    optimizer = optimizers.build_optimizer(config.optim, config.training.num_steps)
    one = steps.make_train_step(
        loss_fn, optimizer, ema_decay=optim.ema_decay(config.optim.ema_decay)
    )
    rows = random_batch(config, request["batch"])
    batch = devices.put_batches(placement, [rows] * together)
    # A loop on a CPU too: that it is no slower is what is to be seen.
    step = compilation.compile_call(placement, calls.of_any_batch(one, unroll=False))
    return stepped(step, states.create(params, optimizer, loss_fn, rows), batch, placement)


def stepped(
    step: Any, begin: states.TrainState, batch: Any, placement: devices.Placement
) -> turns.Prepared:
    """Steps from `begin`, each on the same batch."""
    state = devices.replicate(placement, begin)
    key = devices.replicate(placement, jax.random.key(0))
    compiled = step.lower(state, batch, key).compile()
    held = [state]

    def call() -> None:
        held[0] = jax.block_until_ready(compiled(held[0], batch, key))

    return call, facts_of(compiled, placement) | {
        "parameters": states.count_parameters(begin.params)
    }


def forward(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    config, placement = as_config(plain), devices.place()
    net, params = build(config)
    rows = random_batch(config, request["batch"])
    rows["t"] = np.linspace(1.0, 999.0, request["batch"], dtype=np.float32)
    batch = devices.put_batch(placement, rows)
    params = devices.replicate(placement, params)

    def apply(params: Any, batch: Mapping[str, Any]) -> Any:
        label = batch["label"] if net.num_classes else None
        return net.apply(params, pixels.to_float(batch["image"]), batch["t"], label)

    compiled = compilation.spread(placement, apply).lower(params, batch).compile()
    return lambda: jax.block_until_ready(compiled(params, batch)), facts_of(compiled, placement)


def sampler(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """As the export draws: from a model to uint8 images in the host's memory."""
    config, placement = as_config(plain), devices.place()
    net, params = build(config)
    labels = random_batch(config, request["batch"])["label"]
    weights = denoising.Weights(devices.replicate(placement, params))
    draw = trained.build_draw(config, net, denoising.build_levels(config.schedule), "benchmark")
    at_once = trained.rows_at_once(config, request["batch"])
    return lambda: list(draw(weights, labels)), {"images_at_once": at_once}


def classifier(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """The step of a training of one seed, on one batch."""
    config, placement = as_config(plain), devices.place()
    net = classifiers.build_net(config.classifier, config.benchmark.num_classes)
    loss_fn, optimizer = classifiers.build_loss(net), classifiers.build_optimizer(config.classifier)
    step = compilation.compile_step(
        placement, steps.make_train_step(loss_fn, optimizer, ema_decay=optim.ema_decay(0.0))
    )
    images = jnp.zeros((1, *datasets.image_shape(config)))
    params = jax.tree.map(lambda leaf: leaf[None], net.init(jax.random.key(0), images))
    rows = {name: a[:, None] for name, a in random_batch(config, request["batch"]).items()}
    batch = devices.put_batch(placement, rows)
    return stepped(step, states.create(params, optimizer, loss_fn, rows), batch, placement)


def data(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """The training split's batches, read, decoded and put on the device: 50 a call."""
    config, placement = as_config(plain), devices.place()
    split = datasets.build_splits(config.data, config.seed).train
    batches = order.batches(split, request["batch"], config.seed)

    def call() -> None:
        for _ in range(50):
            jax.block_until_ready(devices.put_batch(placement, next(batches)))

    return call, {"batches": 50, "images": len(split.labels)}


class Begun:
    """A training that several calls continue in turn: one compiled step, one state in memory."""

    def __init__(self, config: ConfigDict):
        self.parts = training.build_parts(config)
        self.state = self.parts.state
        self.batches = in_training.batches(config, self.parts, 0)


_BEGUN: weakref.WeakValueDictionary[str, Begun] = weakref.WeakValueDictionary()
"""By config, for as long as a prepared call holds them."""


def loop(plain: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """The training's own loop on its own images, or its step on the first batch again and again."""
    config, num = as_config(plain), request["steps"]
    # So that calls of several steps end where a turn does.
    config.training.update(log_every=num, eval_every=num, save_every=num, sample_every=num)
    config.training.update(request["training"])
    name, key = config.to_json(), jax.random.key(0)
    begun = _BEGUN.get(name) or _BEGUN.setdefault(name, Begun(config))

    def real() -> None:
        begun.state = training_loop.run(
            begun.parts.train_step,
            begun.state,
            begun.batches,
            key=key,
            num_steps=int(begun.state.step) + num,
            log_every=num,
            on_log=lambda step, values: None,
            num_in=calls.num_steps,
        )
        jax.block_until_ready(begun.state)

    def fixed() -> None:
        for _ in range(num):
            begun.state = begun.parts.train_step(begun.state, first, key)
        jax.block_until_ready(begun.state)

    facts = {"images": len(begun.parts.splits.train.labels)}
    if request["real"]:
        return real, facts
    first = next(begun.batches)
    return fixed, facts


def matmul(config: None, request: Mapping[str, Any]) -> turns.Prepared:
    size, dtype = request["size"], request["dtype"]
    a = jnp.ones((size, size), dtype)
    compiled = jax.jit(jnp.dot).lower(a, a).compile()
    return lambda: jax.block_until_ready(compiled(a, a)), {"gflop": 2e-9 * size**3}


def convolution(config: None, request: Mapping[str, Any]) -> turns.Prepared:
    num, channels = request["batch"], 128
    x = jnp.ones((num, 32, 32, channels), request["dtype"])
    kernel = jnp.ones((3, 3, channels, channels), request["dtype"])

    def convolve(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)

    compiled = jax.jit(convolve).lower(x, kernel).compile()
    # Without the products with the zeros around: 94 rows meet 32 of 3 x 32.
    gflop = 2e-9 * num * 94 * 94 * channels**2
    return lambda: jax.block_until_ready(compiled(x, kernel)), {"gflop": gflop}


def facts_of(compiled: Any, placement: devices.Placement) -> turns.Facts:
    """Work and memory of all devices. XLA counts the body of a loop once, so the work is that of one step."""
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    of_each = {
        "gflop": cost["flops"] / 1e9,
        "gbyte": cost["bytes accessed"] / 1e9,
        "memory_mib": (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20,
    }
    return {name: value * placement.num_devices for name, value in of_each.items()}


def main() -> None:
    versions = {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
    }
    turns.serve([train, forward, sampler, classifier, data, loop, matmul, convolution], versions)


if __name__ == "__main__":
    main()
