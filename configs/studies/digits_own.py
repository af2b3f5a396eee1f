"""A generator of 5 to 50 digits of each class: do its images help a classifier that has the same digits?

python -m ddpm_jax.main --config=configs/studies/digits_own.py --mode=own

Time: not measured. Result: not measured. Each of the small sets has its own generator. The generator's images
are shifted and rotated as the classifiers' are.
"""

from configs import digits


def get_config():
    config = digits.get_config()
    config.own.sizes = (5, 10, 20, 50)
    config.own.num_tuning_sets = 1
    config.own.num_folds = 2
    config.own.real_arms = ("real, augmented", "real, soft, augmented")
    config.own.synthetic_arms = (
        "synthetic", "synthetic, augmented", "real+synthetic", "real+synthetic, augmented",
        "real+synthetic, selected, augmented", "real+synthetic, soft, augmented",
    )  # fmt: skip
    config.augment.rotation = 10.0
    config.augment.shift = 1
    config.training.num_steps = 1000
    config.training.eval_every = config.training.save_every = 500
    config.classifier.num_seeds = 3
    config.classifier.num_steps = 400
    return config
