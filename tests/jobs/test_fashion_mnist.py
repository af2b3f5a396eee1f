"""The whole chain on four classes of real Fashion-MNIST, prepared without a network by TFDS's own builder."""

import json

import pytest

from configs import fashion_mnist as config_file
from ddpm_jax.jobs import classify, compare, evaluate, export, sample, train


@pytest.mark.long
@pytest.mark.usefixtures("on_one_device")
def test_the_chain_runs_on_fashion_mnist(fashion_mnist, tmp_path):
    config = config_file.get_config()
    config.update_from_flattened_dict(
        {
            "data.data_dir": fashion_mnist,
            "data.classes": ("T-shirt/top", "Trouser", "Bag", "Ankle boot"),
            "net.base_channels": 16,
            "net.unet.num_groups": 8,
            "net.unet.num_res_blocks": 1,
            "training.num_steps": 120,
            "optim.warmup_steps": 20,
            "training.batch_size": 32,
            "sampling.num_steps": 5,
            "export.num_images": 200,
            "evaluation.num_images": 200,
            "evaluation.likelihood_images": 0,
            "classifier.batch_size": 64,
            "classifier.num_steps": 40,
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
    assert arms["synthetic"]["accuracy"] > 0.4  # 25 % is chance; 120 tiny steps are not much
    assert arms["real+synthetic"]["n_train"] == 4 * 5_400 + 200
