"""Every config, a few steps of it: train and export, on data of the real shape and names.

Datasets that have to be downloaded are TFDS's mocks; the networks are as deep as they are, but thin.
"""

import contextlib
import importlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mocked_tfds import mocked

from ddpm_jax.assembly import datasets, denoising, networks, objective
from ddpm_jax.data import npz
from ddpm_jax.jobs import export, train

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
PATHS = [
    path for path in sorted(CONFIGS.rglob("*.py")) if path.stem not in ("classifier", "default")
]
SPLITS = {
    "oxford_flowers102": ("train", "validation", "test"),
    "celeb_a": ("train", "validation", "test"),
}
FEW = {
    "net.base_channels": 8,
    "net.unet.num_groups": 4,
    "net.unet.num_res_blocks": 1,
    "net.num_heads": 2,
    "net.unet.head_channels": 0,
    "net.patch.num_refine_blocks": 1,
    "training.batch_size": 4,
    "training.num_steps": 2,
    "training.log_every": 1,
    "training.accumulate": 1,
    "training.eval_images": 4,
    "optim.warmup_steps": 1,
    "sampling.num_steps": 3,
    "sampling.batch_size": 4,
}


QUICKEST = "system4_digits_faithful"
A_FEW_STEPS = [
    pytest.param(path, marks=pytest.mark.slow if path.stem == QUICKEST else pytest.mark.long)
    for path in PATHS
]
"""All of them take half an hour."""
SEVERAL = {
    "cifar10",
    "digits_consistency",
    "digits_own",
    "fashion_mnist_hour",
    "own",
    "oxford_iiit_pet",
}
REAL_SIZE = [
    pytest.param(path, marks=pytest.mark.slow if path.stem in SEVERAL else pytest.mark.long)
    for path in PATHS
]
"""CI traces those that a user starts from, one of each network and loss, and no earlier system's."""


def load(path):
    name = ".".join(path.relative_to(CONFIGS.parent).with_suffix("").parts)
    return importlib.import_module(name).get_config()


@pytest.mark.parametrize("path", REAL_SIZE, ids=lambda path: path.stem)
def test_the_loss_and_the_sampler_of_a_config_at_its_real_size(path):
    """Traced, not computed: shapes, names and choices fit together from end to end."""
    config, num_classes = load(path), 3
    net = networks.build_net(config, num_classes)
    table = denoising.build_levels(config.schedule)
    loss_fn = objective.build_loss(config, net, table)
    size = config.training.batch_size // config.training.accumulate
    image_shape = datasets.image_shape(config)
    params = jax.eval_shape(lambda: networks.init_net(net, config.data, jax.random.key(0)))
    batch = {
        "image": jax.ShapeDtypeStruct((size, *image_shape), jnp.uint8),
        "label": jax.ShapeDtypeStruct((size,), jnp.int32),
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    gradient = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, _), grads = jax.eval_shape(gradient, params, batch, key)
    assert loss.shape == () and jax.tree.structure(grads) == jax.tree.structure(params)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    label = jax.ShapeDtypeStruct((2,), jnp.int32)
    weights = denoising.Weights(params)
    made = jax.eval_shape(denoising.build_sampler(config, net, table), weights, label, keys)
    assert made.shape == (2, *image_shape) and made.dtype == jnp.float32


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("path", A_FEW_STEPS, ids=lambda path: path.stem)
def test_a_few_steps_of_a_config(path, tmp_path):
    config = load(path)
    config.update_from_flattened_dict(FEW)
    with contextlib.ExitStack() as stack:
        kind, _, dataset = config.data.source.partition(":")
        if kind == "tfds":
            config.data.data_dir = str(tmp_path / "tfds")
            # Enough random labels for each class to be there, and in a tenth of them for each device.
            num = 400 if config.data.classes else 120
            splits = SPLITS.get(dataset, ("train", "test"))
            stack.enter_context(mocked(dataset, config.data.data_dir, splits, num_examples=num))
        found = train.run(config, tmp_path)
        num_classes = len(found["class_names"])
        config.export.class_counts, config.export.num_images = (), 2 * num_classes
        export.run(config, tmp_path)
    assert found["step"] == 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) for line in lines if "loss" in line)
    made = npz.load(tmp_path / "synthetic.npz")
    size, channels = config.data.image_size, config.data.channels
    assert made.images.shape == (2 * num_classes, size, size, channels)
    np.testing.assert_array_equal(np.bincount(made.labels), 2)
