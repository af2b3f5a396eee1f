"""What each part of the recipe for small sets gives, on digits that no study's test images are among.

python -m launch.small_set_levers

runs this once a lever, with more flags:

python -m ddpm_jax.main --config=configs/studies/digits_levers.py --mode=own

Time: 97 minutes on two cores. Result: docs/notes/small_sets.md. The test images are 60 % of the training
images of configs/studies/digits_own.py, and chose that study's recipe.
"""

from configs import digits


def get_config():
    # Not digits_own's, whose recipe changes with what the levers give.
    config = digits.get_config()
    config.data.source = "npz:runs/development_digits.npz"
    config.data.test_fraction = 0.6
    config.data.split_seed = 0
    config.own.sizes = (10,)
    config.own.num_sets = 4
    config.own.num_tuning_sets = 0
    config.own.synthetic_arms = (
        "synthetic", "synthetic, augmented",
        "real+synthetic", "real+synthetic, augmented", "real+synthetic, real augmented",
    )  # fmt: skip
    config.own.judge = "real+synthetic, real augmented"
    config.augment.rotation = 10.0
    config.augment.shift = 1
    config.training.num_steps = 1000
    config.training.eval_every = config.training.save_every = config.training.keep_every = 500
    config.classifier.num_seeds = 3
    config.classifier.num_steps = 400
    return config
