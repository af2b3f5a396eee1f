"""CIFAR-10 with linear attention where the image is large, v-prediction and min-SNR weights.

python -m ddpm_jax.main --config=configs/studies/system1_cifar10.py
python -m ddpm_jax.main --config=configs/studies/system1_cifar10.py --mode=interpolate

Time: not measured; made for GPUs. Result: not measured. The original: FID 77.1, of real images in
[-1, 1] against samples in [0, 1]. It fixes: images normalized twice (here only pixels.py does it); network
settings kept in two files (here a checkpoint refuses another config); FID every 1,000 steps in training.
`--config.loss.offset_noise=0.1` and `--config.loss.weight=snr` are the other options that the original had.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.source = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.augment.flip = True
    config.net.multipliers = (1, 2, 4, 8)
    config.net.unet.attention_resolutions = (32, 16, 8, 4)
    config.net.attention = ("linear_softmax", "linear_softmax", "linear_softmax", "softmax")
    config.net.num_heads = 4
    config.net.unet.head_channels = 32
    config.net.unet.conditioning = "film"
    config.net.unet.norm = "rms"
    config.loss.prediction = "v"
    config.loss.weight = "min_snr"
    config.optim.name = "adam"
    config.optim.learning_rate = 8e-5
    config.optim.schedule = "constant"
    config.optim.ema_decay = 0.995
    config.training.batch_size = 512
    config.training.accumulate = 2
    config.training.num_steps = 20_000
    config.training.save_every = 1_000
    config.training.eval_every = 1_000
    config.training.sample_every = 1_000
    config.sampling.num_steps = 100
    return config
