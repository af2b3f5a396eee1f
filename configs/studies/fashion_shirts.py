"""Shirt or T-shirt, Fashion-MNIST: the pair that is confused most, in the place of system 0's car and truck.

python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py
python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py --mode=worth

Time: not measured. Result: not measured. Without a network: see launch/fashion_mnist_offline.py. It mends
what system0_car_truck.py does.
"""

from configs import fashion_mnist


def get_config():
    config = fashion_mnist.get_config()
    config.data.classes = ("T-shirt/top", "Shirt")
    config.training.num_steps = 10_000
    return config
