"""Automobile or truck, CIFAR-10 at 64x64: does adding 1,000 synthetic automobiles help a classifier?

python -m ddpm_jax.main --config=configs/studies/system0_car_truck.py
python -m ddpm_jax.main --config=configs/studies/system0_car_truck.py --mode=denoise

Time: not measured; made for GPUs. Result: not measured; results/classify.json would hold it. The original:
87.95 % with real images, 88.55 % with 1,000 synthetic ones added, one seed each. It fixes: no control of
equal size and one seed (here both controls, five seeds); model selection on the test set (here seen once, at
the end); x_t clamped in every step (here the estimate of x0 is); BatchNorm on batches of one (GroupNorm).
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:cifar10"
    config.data.classes = ("automobile", "truck")
    config.data.image_size = 64
    config.data.channels = 3
    config.augment.flip = True
    config.augment.crop_scale = 0.8
    config.schedule.name = "sigmoid_beta"
    config.net.name = "double_conv"
    config.net.multipliers = (1, 2, 4, 4)
    config.net.num_heads = 4
    config.loss.prediction = "eps"
    config.optim.learning_rate = 2e-4
    config.training.num_steps = 50_000
    config.training.save_every = 1_000
    config.training.eval_every = 1_000
    config.training.sample_every = 5_000
    config.export.class_counts = (1_000, 0)
    # From t = 300 and t = 400 of 1,000.
    config.editing.starts = (0.3, 0.4)
    # A set of automobiles alone can be added to real images, but not trained on alone.
    config.classifier.arms = ("real", "real+synthetic", "real+duplicated", "real+augmented")
    config.classifier.learning_rate = 3e-4
    config.classifier.num_steps = 1_560
    config.classifier.augment.flip = True
    config.classifier.augment.crop_scale = 0.8
    config.classifier.augment.shift = 0
    return config
