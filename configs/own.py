"""Your own folder of a few hundred labelled pictures, 8 to 64 pixels, gray or RGB, in a given time.

python -m ddpm_jax.main --config=configs/own.py --config.data.source=folder:photos --config.budget.minutes=60

PHOTOS has a sub-folder of pictures per class, or the sub-folders `train` and `test`, each with the classes
below. The program measures the machine for about a minute, says how it will divide the time, and ends with
a page that tells what synthetic pictures are worth to a classifier. Gray pictures:
`--config.data.channels=1`; other sizes: `--config.data.image_size=16`; letters and digits:
`--config.augment.flip=False --config.classifier.augment.flip=False`. What `budget` decides stands in
configs/default.py; a field that you set yourself stays. Time: `budget.minutes`. Result: that of 20 minutes is
in docs/howto/own_images.md.
A budget of 5 minutes on two cores is too small: programs are compiled for half of it, and ten steps are left.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "folder:photos"
    config.data.image_size = 32
    config.data.channels = 3
    config.budget.minutes = 60.0
    # A few hundred pictures are seen hundreds of times each.
    config.augment.flip = True
    config.augment.crop_scale = 0.8
    config.augment.shift = 2
    config.net.augment_condition = True
    config.optim.name = "muon"
    config.optim.learning_rate = 6e-3
    config.optim.warmup_steps = 200
    config.training.batch_size = 64
    config.sampling.solver = "dpm_solver_pp_2m"
    config.sampling.checkpoint = "best"  # of few pictures, a long training learns some by heart
    # Compiling the likelihood takes longer than the rest of the evaluation.
    config.evaluation.likelihood_images = 0
    # The generator is trained on augmented pictures, so its own are not augmented again.
    config.classifier.arms = (
        "real", "real, augmented", "synthetic", "real+synthetic, real augmented"
    )  # fmt: skip
    config.own.synthetic_arms = ("synthetic", "real+synthetic, real augmented")
    config.own.judge = "real+synthetic, real augmented"
    config.classifier.synthetic_share = 0.5
    config.classifier.dropout = 0.3
    config.classifier.batch_size = 64
    config.classifier.augment.flip = True
    config.classifier.augment.crop_scale = 0.6
    config.classifier.augment.crop_ratio = 1.33
    config.classifier.augment.rotation = 15.0
    config.classifier.augment.shift = 3
    return config
