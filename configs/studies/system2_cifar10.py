"""Plain DDPM on CIFAR-10: linear schedule to 0.04, noise as the target, attention at 8x8 and 4x4.

python -m ddpm_jax.main --config=configs/studies/system2_cifar10.py
python -m ddpm_jax.main --config=configs/studies/system2_cifar10.py --mode=analyze

Time: not measured; made for GPUs. Result: not measured. The original: FID 138.86 on 3,000 samples. It
fixes: softmax over the queries; noise on the last step; images in [0, 1] shown as if in [-1, 1]; the best
checkpoint by training loss (here by validation loss). --mode=analyze shows the forward chain step by step
beside the closed form.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.schedule.name = "linear"
    config.schedule.beta_end = 0.04
    config.net.base_channels = 32
    config.net.multipliers = (1, 2, 4, 16)
    config.net.unet.attention_resolutions = (8, 4)
    config.loss.prediction = "eps"
    config.optim.learning_rate = 2e-4
    config.optim.schedule = "constant"
    config.optim.weight_decay = 0.01
    config.training.batch_size = 256
    config.training.num_steps = 13_650
    config.training.save_every = 1_000
    config.training.eval_every = 1_000
    config.training.sample_every = 1_000
    config.sampling.solver = "ancestral"
    config.sampling.variance = "beta"
    config.sampling.num_steps = 1_000
    config.export.num_images = 3_000
    return config
