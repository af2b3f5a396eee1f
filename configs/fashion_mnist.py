"""Fashion-MNIST: 70,000 articles of clothing, 28x28, in ten classes.

python -m ddpm_jax.main --config=configs/fashion_mnist.py

Nothing is mirrored, because all shoes point to the left, in the test set too. Without a network: see
launch/fashion_mnist_offline.py. Time: not measured.
"""

from configs import mnist


def get_config():
    config = mnist.get_config()
    config.data.source = "tfds:fashion_mnist"
    return config
