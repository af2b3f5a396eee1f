"""A generator of 5 to 50 digits of each class: do its images help a classifier that has the same digits?

python -m ddpm_jax.main --config=configs/studies/digits_own.py --mode=own

Time: about an hour a size on two cores, half of it for the generators. Result: docs/evaluation.md has that
with 10 images a class. Each of the small sets has its own generator, which is trained on shifted and
rotated images. Its own images are therefore not augmented again.
"""

from configs import digits


def get_config():
    config = digits.get_config()
    # Fresh sets, and the same test images: sets 0 to 4 have chosen the arms.
    config.seed = 10
    config.data.split_seed = 0
    config.own.sizes = (5, 10, 20, 50)
    config.own.num_tuning_sets = 1
    config.own.num_folds = 2
    config.own.synthetic_arms = (
        "synthetic", "real+synthetic", "real+synthetic, augmented", "real+synthetic, real augmented"
    )  # fmt: skip
    config.own.judge = "real+synthetic, real augmented"
    config.own.strengths = (0.7, 1.4)  # half of a shift by one pixel would be none
    config.augment.rotation = 10.0
    config.augment.shift = 1
    config.training.num_steps = 1000
    config.training.eval_every = config.training.save_every = 500
    config.classifier.num_seeds = 3
    config.classifier.num_steps = 400
    return config
