"""Shirt or T-shirt, Fashion-MNIST: the pair that is confused most, in the place of system 0's car and truck.

python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py
python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py --mode=worth

Time: not measured. Result: not measured. Without a network: see launch/fashion_mnist_offline.py. It mends
what system0_car_truck.py does, and has the controls of equal size at 100, 1,000 and all real images.
"""

from configs.studies import fashion_mnist_hour


def get_config():
    config = fashion_mnist_hour.get_config()
    config.data.classes = ("T-shirt/top", "Shirt")
    config.training.num_steps = 1_500
    config.training.sample_every = 500
    config.export.num_images = 12_000
    config.worth.sizes = (50, 500)  # of each of the two classes
    config.worth.multiples = (1,)
    config.classifier.num_steps = 500
    # 75 classifiers.
    config.worth.num_steps = 250
    return config
