"""What each part of the recipe for small sets gives, on digits that no study's test images are among.

python -m launch.small_set_levers

runs this once a lever, with more flags:

python -m ddpm_jax.main --config=configs/studies/digits_levers.py --mode=own

Time: two hours on two cores. Result: docs/notes/small_sets.md. The test images are 60 % of the training
images of configs/studies/digits_own.py, and chose that study's recipe.
"""

from configs.studies import digits_own


def get_config():
    config = digits_own.get_config()
    config.seed = 0
    config.data.source = "npz:runs/development_digits.npz"
    config.data.test_fraction = 0.6
    config.own.sizes = (10,)
    config.own.num_sets = 4
    config.own.synthetic_arms = (
        "synthetic", "synthetic, augmented",
        "real+synthetic", "real+synthetic, augmented", "real+synthetic, real augmented",
    )  # fmt: skip
    # The recipe to begin with.
    config.net.augment_condition = False
    config.training.num_steps = 1000
    config.training.eval_every = config.training.save_every = config.training.keep_every = 500
    config.sampling.solver = "ddim"
    config.sampling.num_steps = 25
    config.classifier.synthetic_share = 0.0
    return config
