"""MNIST: 60,000 handwritten digits, 28x28.

python -m ddpm_jax.main --config=configs/mnist.py

Time: not measured.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:mnist"
    config.data.image_size = 28
    config.net.multipliers = (1, 2, 2)
    config.net.unet.attention_resolutions = (7,)
    config.net.unet.dropout = 0.1
    config.optim.learning_rate = 5e-4
    config.optim.warmup_steps = 500
    config.training.num_steps = 30_000
    config.training.eval_every = 1_000
    config.training.save_every = 1_000
    config.training.sample_every = 5_000
    config.classifier.num_steps = 3_000
    config.classifier.warmup_steps = 150
    return config
