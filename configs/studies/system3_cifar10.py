r"""CIFAR-10 as system3_mnist.py does MNIST, with the same four runs to compare.

python -m ddpm_jax.main --config=configs/studies/system3_cifar10.py
python -m ddpm_jax.main --config=configs/studies/system3_cifar10.py \
  --config.net.unet.attention_resolutions="()" --workdir=runs/system3_cifar10_none

Time: not measured; made for GPUs. Result: not measured. The original's numbers are on gray, 28x28 versions
of its samples, and cannot be compared with others. It fixes what system3_mnist.py fixes, and a network with
one output channel for three colors.
"""

from configs.studies import system3_mnist


def get_config():
    config = system3_mnist.get_config()
    config.data.source = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.net.unet.attention_resolutions = (32, 16, 8)
    config.training.num_steps = 21_100
    return config
