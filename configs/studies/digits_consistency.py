"""Consistency tuning on digits: images in one to four calls of the network.

python -m ddpm_jax.main --config=configs/digits.py --mode=train --workdir=runs/digits
python -m ddpm_jax.main --config=configs/studies/digits_consistency.py --mode=train
python -m ddpm_jax.main --config=configs/studies/digits_consistency.py --mode=sweep

Time: not measured on a quiet machine. Result: docs/notes/consistency.md.
"""

from configs import digits


def get_config():
    config = digits.get_config()
    config.training.start_from = "runs/digits"
    config.training.num_steps = 400
    config.training.batch_size = 64
    config.loss.kind = "consistency"
    config.optim.learning_rate = 5e-4
    config.sampling.solver = "consistency"
    config.sampling.num_steps = 4
    config.sweep.guidance_scales = (1.0,)
    config.sweep.samplers = ("consistency:1", "consistency:2", "consistency:4")
    config.sweep.num_images = 2000
    config.sweep.num_seeds = 5
    return config
