"""Oxford Flowers 102 at 64x64 with system1_cifar10.py's network.

python -m ddpm_jax.main --config=configs/studies/system1_flowers.py
python -m ddpm_jax.main --config=configs/studies/system1_flowers.py --mode=analyze

Time: not measured; made for GPUs. Result: not measured. It fixes: ImageNet's mean and deviation, applied and
never undone. --mode=analyze has the original's class table and its grids of originals and
augmented images.
"""

from configs.studies import system1_cifar10


def get_config():
    config = system1_cifar10.get_config()
    config.data.source = "tfds:oxford_flowers102"
    config.data.image_size = 64
    config.augment.crop_scale = 0.8
    config.augment.crop_ratio = 4 / 3
    config.net.unet.attention_resolutions = (64, 32, 16, 8)
    return config
