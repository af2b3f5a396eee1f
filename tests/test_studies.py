"""Every config, a few steps of it: train and export, on data of the real shape and names.

Datasets that have to be downloaded are TFDS's mocks; the networks are as deep as they are, but thin.
"""

import contextlib
import importlib
import json
import pathlib

import numpy as np
import pytest
from mocked_tfds import mocked

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
    "net.num_groups": 4,
    "net.num_res_blocks": 1,
    "net.num_heads": 2,
    "net.head_channels": 0,
    "net.num_refine_blocks": 1,
    "training.batch_size": 4,
    "training.num_steps": 2,
    "training.log_every": 1,
    "training.accumulate": 1,
    "training.eval_images": 4,
    "optim.warmup_steps": 1,
    "sampling.num_steps": 3,
    "sampling.batch_size": 4,
}


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_few_steps_of_a_config(path, tmp_path):
    name = ".".join(path.relative_to(CONFIGS.parent).with_suffix("").parts)
    config = importlib.import_module(name).get_config()
    config.update_from_flattened_dict(FEW)
    with contextlib.ExitStack() as stack:
        kind, _, dataset = config.data.source.partition(":")
        if kind == "tfds":
            config.data.data_dir = str(tmp_path / "tfds")
            # Enough random labels for each class to be there.
            splits = SPLITS.get(dataset, ("train", "test"))
            stack.enter_context(mocked(dataset, config.data.data_dir, splits, num_examples=400))
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
