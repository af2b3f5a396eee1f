"""Oxford-IIIT Pet: 37 breeds of cats and dogs in about 7,400 photographs, at 64x64.

python -m ddpm_jax.main --config=configs/oxford_iiit_pet.py

With `--config.data.label=species` the classes are cat and dog. Time: not measured; made for GPUs.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:oxford_iiit_pet"
    config.data.image_size = 64
    config.data.channels = 3
    config.augment.flip = True
    config.net.base_channels = 128
    config.net.multipliers = (1, 2, 2, 2)
    config.net.unet.attention_resolutions = (16, 8)
    config.net.num_heads = 4
    config.net.unet.dropout = 0.1
    config.optim.learning_rate = 2e-4
    config.optim.warmup_steps = 2_000
    config.optim.ema_decay = 0.9999
    config.training.num_steps = 200_000
    config.training.log_every = 100
    config.training.eval_every = 2_000
    config.training.save_every = 2_000
    config.training.sample_every = 10_000
    config.classifier.net = "resnet"
    config.classifier.num_steps = 4_000
    config.classifier.warmup_steps = 200
    config.classifier.augment.flip = True
    config.classifier.augment.shift = 6
    return config
