"""System 4's network on scikit-learn's digits: patches, linear attention, x0 as the target, ten steps.

python -m ddpm_jax.main --config=configs/studies/system4_digits.py

Time: 6 min beside other work, of which training took 4.5. Result: all ten classes from pure noise;
synthetic-only 96.5 +- 0.7 % against 97.8 +- 0.5 % for real images. The picture beside the original's own
process, system4_digits_faithful.py: docs/images/system4_digits_beside_faithful.png, made by
--mode=compare --runs=runs/system4_digits,runs/system4_digits_faithful. It fixes what system4_cat_dog.py does.
"""

from configs import digits


def get_config():
    config = digits.get_config()
    config.net.name = "patch"
    config.net.multipliers = (1, 2)
    config.net.patch.patch_sizes = (2,)
    config.net.attention = ("linear_elu",)
    config.net.num_heads = 8
    config.net.patch.time_embedding = "mlp"
    config.loss.prediction = "x0"
    config.loss.kind = "combined"
    config.sampling.solver = "dpm_solver_pp_2m"
    config.sampling.spacing = "log_snr"
    config.sampling.num_steps = 10
    return config
