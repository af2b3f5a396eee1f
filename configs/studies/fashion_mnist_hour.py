"""Fashion-MNIST in an hour on two cores: what a small model's images are worth to a classifier.

python -m ddpm_jax.main --config=configs/studies/fashion_mnist_hour.py
python -m ddpm_jax.main --config=configs/studies/fashion_mnist_hour.py --mode=worth

The network takes squares of 2x2 pixels as one position, so that most of its work is done at 14x14.
Time: not measured. Result: not measured. Without a network: see launch/fashion_mnist_offline.py.
"""

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.net.patch_size = 2
    config.net.base_channels = 48
    config.net.multipliers = (1, 2)
    config.net.num_res_blocks = 2
    config.net.num_groups = 16
    config.net.attention_resolutions = (7,)
    config.net.dropout = 0.0
    config.optim.learning_rate = 2e-3
    config.optim.warmup_steps = 200
    config.optim.ema_decay = 0.999
    config.training.num_steps = 6_000
    config.training.eval_every = 500
    config.training.save_every = 500
    config.training.sample_every = 2_000
    config.sampling.num_steps = 25
    config.export.num_images = 20_000
    config.evaluation.num_images = 10_000
    config.evaluation.likelihood_images = 0
    config.augment.flip = False
    config.classifier.augment.flip = False
    config.classifier.num_steps = 1_500
    config.classifier.batch_size = 64
    return config
