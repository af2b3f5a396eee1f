"""Shirt or T-shirt, Fashion-MNIST: the pair confused most often, instead of system 0's car and truck.

python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py
python -m ddpm_jax.main --config=configs/studies/fashion_shirts.py --mode=worth

Time: 37 minutes of training on two busy cores, 26 of processor time for the 75 classifiers of worth.
Result: 12,000 synthetic images alone give 84.1 +- 1.3 %, all 10,800 real ones 86.3 +- 0.3 %. Added to 100,
1,000 or all real images, neither synthetic images nor duplicates nor augmented copies were shown to help
(the table is in docs/studies.md). Without a network: see launch/fashion_mnist_offline.py. It fixes what
system0_car_truck.py fixes, and has the controls of equal size.
"""

from configs.studies import fashion_mnist_hour


def get_config():
    config = fashion_mnist_hour.with_adamw()
    config.data.classes = ("T-shirt/top", "Shirt")
    config.training.num_steps = 1_500
    config.training.sample_every = 500
    config.export.num_images = 12_000
    config.worth.sizes = (50, 500)  # of each of the two classes
    config.worth.multiples = (1,)
    config.worth.controls = ("duplicated", "augmented")
    config.classifier.arms = (
        "real", "synthetic", "real+synthetic", "real+duplicated", "real+augmented"
    )  # fmt: skip
    config.classifier.num_steps = 500
    # --mode=worth trains 75 classifiers.
    config.worth.num_steps = 250
    return config
