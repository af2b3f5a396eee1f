"""CIFAR-10 with the network and the training of Ho et al. 2020: 35.7 M parameters, 800,000 steps.

python -m ddpm_jax.main --config=configs/cifar10.py

Time: not measured; made for GPUs. The paper's network has 35,746,307 parameters; the class table (10 classes
and the null class, 512 numbers each) adds 5,632. `--config.net.class_conditional=False` removes it.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.augment.flip = True
    config.schedule.name = "linear"
    config.net.base_channels = 128
    config.net.multipliers = (1, 2, 2, 2)
    config.net.unet.attention_resolutions = (16,)
    config.net.unet.dropout = 0.1
    config.loss.prediction = "eps"
    config.optim.name = "adam"
    config.optim.learning_rate = 2e-4
    config.optim.schedule = "constant"
    config.optim.warmup_steps = 5_000
    config.optim.beta2 = 0.999
    config.optim.ema_decay = 0.9999
    config.training.num_steps = 800_000
    config.training.log_every = 100
    config.training.eval_every = 5_000
    config.training.save_every = 5_000
    config.training.sample_every = 20_000
    config.export.num_images = 50_000
    config.classifier.net = "resnet"
    config.classifier.num_steps = 8_000
    config.classifier.warmup_steps = 400
    config.classifier.augment.flip = True
    config.classifier.augment.shift = 4
    return config
