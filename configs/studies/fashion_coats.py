"""Pullover or coat, Fashion-MNIST, instead of system 0's dog and cat.

python -m ddpm_jax.main --config=configs/studies/fashion_coats.py

Time: not measured. Result: not measured. It fixes what system0_car_truck.py fixes.
"""

from configs.studies import fashion_shirts


def get_config():
    config = fashion_shirts.get_config()
    config.data.classes = ("Pullover", "Coat")
    return config
