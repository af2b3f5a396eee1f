"""Oxford Flowers 102: 102 kinds of flowers, ten training images of each, at 64x64.

python -m ddpm_jax.main --config=configs/oxford_flowers102.py

Time: not measured; made for GPUs.
"""

from configs import oxford_iiit_pet


def get_config():
    config = oxford_iiit_pet.get_config()
    config.data.source = "tfds:oxford_flowers102"
    return config
