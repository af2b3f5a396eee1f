"""The whole chain on four classes of real Fashion-MNIST, prepared without a network by TFDS's own builder."""

import json
import os

import pytest

from configs import fashion_mnist
from ddpm_jax.jobs import classify, compare, evaluate, export, sample, train


@pytest.mark.slow
def test_the_chain_runs_on_fashion_mnist(tmp_path):
    archives = os.environ.get("DDPM_JAX_FASHION_MNIST")
    if not archives:
        pytest.skip("DDPM_JAX_FASHION_MNIST is not set: see launch/fashion_mnist_offline.py")
    config = fashion_mnist.get_config()
    config.update_from_flattened_dict(
        {
            "data.manual_dir": archives,
            "data.data_dir": str(tmp_path / "tfds"),
            "data.classes": ("T-shirt/top", "Trouser", "Bag", "Ankle boot"),
            "net.base_channels": 16,
            "net.unet.num_groups": 8,
            "net.unet.num_res_blocks": 1,
            "training.num_steps": 200,
            "optim.warmup_steps": 20,
            "training.batch_size": 32,
            "sampling.num_steps": 10,
            "export.num_images": 500,
            "evaluation.num_images": 500,
            "evaluation.likelihood_images": 0,
            "classifier.num_steps": 60,
            "classifier.warmup_steps": 10,
            "classifier.num_seeds": 2,
            "classifier.arms": ("real", "synthetic", "real+synthetic"),
        }
    )
    workdir = tmp_path / "run"
    for job in (train, sample, export, evaluate, classify, compare):
        job.run(config, workdir)
    arms = json.loads((workdir / "results/classify.json").read_text())["arms"]
    assert arms["real"]["n_train"] == 4 * 5_400
    assert arms["real"]["accuracy"] > 0.85
    assert arms["synthetic"]["accuracy"] > 0.4  # 25 % is chance; 200 tiny steps are not much
    assert arms["real+synthetic"]["n_train"] == 4 * 5_400 + 500
