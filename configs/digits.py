"""Scikit-learn's 1,797 handwritten digits, 8x8: no download, the whole chain in minutes on two cores.

python -m ddpm_jax.main --config=configs/digits.py

Time: four to nine minutes for the whole chain. Result: the table in README.md, from this command.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.net.base_channels = 32
    config.training.num_steps = 500
    config.training.sample_every = 250
    config.sampling.num_steps = 25
    config.export.num_images = 2000
    config.classifier.num_steps = 250
    # Compiling the likelihood takes longer than the rest of the evaluation.
    config.evaluation.likelihood_images = 0
    config.worth.num_steps = 150
    return config
