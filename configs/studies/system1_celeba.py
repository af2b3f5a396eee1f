"""CelebA at 128x128, smiling or not, with system1_cifar10.py's network and one more level.

python -m ddpm_jax.main --config=configs/studies/system1_celeba.py --config.data.manual_dir=DIR

Time: not measured; made for GPUs. Result: not measured. It fixes: paths into one person's home
directory in the program.
"""

from configs.studies import system1_cifar10


def get_config():
    config = system1_cifar10.get_config()
    config.data.source = "tfds:celeb_a"
    config.data.label = "attributes/Smiling"
    config.data.image_size = 128
    config.net.multipliers = (1, 2, 4, 8, 8)
    config.net.unet.attention_resolutions = (64, 32, 16, 8)
    config.training.batch_size = 64
    config.training.accumulate = 4
    config.sampling.batch_size = 64
    return config
