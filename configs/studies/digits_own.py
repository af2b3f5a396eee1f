"""A generator of 5 to 50 digits of each class: do its images help a classifier that has the same digits?

python -m ddpm_jax.main --config=configs/studies/digits_own.py --mode=own

Time: two hours on two cores, in two processes. Result: docs/studies.md. The generators are
told how their images were shifted and rotated, and draw digits as they are. They begin
with noised images of the small set.
"""

from configs import digits


def get_config():
    config = digits.get_config()
    # Fresh sets, and the same test images: sets 0 to 4 and 10 to 15 are those of docs/notes/small_sets.md.
    config.seed = 20
    config.data.split_seed = 0
    config.own.sizes = (5, 10, 20, 50)
    config.own.num_sets = 8
    # The recipe, with the classifiers' settings, was chosen by configs/studies/digits_levers.py.
    config.own.num_tuning_sets = 0
    config.own.synthetic_arms = ("synthetic", "real+synthetic, real augmented")
    config.own.judge = "real+synthetic, real augmented"
    config.augment.rotation = 10.0
    config.augment.shift = 1
    config.net.augment_condition = True
    config.training.num_steps = 500  # more steps copy more
    config.sampling.solver = "dpm_solver_pp_2m"
    config.sampling.num_steps = 10
    config.export.start = 0.6
    config.classifier.synthetic_share = 0.5
    config.classifier.num_seeds = 3
    config.classifier.num_steps = 400
    return config
