"""System 4 with its own process on the digits, for comparison with system4_digits.py.

python -m ddpm_jax.main --config=configs/studies/system4_digits_faithful.py

Time: 10 min beside other work. Result: synthetic-only 46.9 +- 2.0 % where system4_digits.py has 96.5 +-
0.7; the picture is docs/images/system4_digits_beside_faithful.png. It fixes nothing: see
system4_cat_dog_faithful.py.
"""

from configs.studies import system4_digits


def get_config():
    config = system4_digits.get_config()
    config.schedule.name = "blend"
    config.schedule.blend_reach = 0.4
    config.schedule.num_steps = 10
    config.loss.kind = "scheduled"
    config.loss.draw = "beta"
    config.sampling.solver = "iterative_x0"
    config.sampling.spacing = "uniform"
    config.sampling.clip = False
    return config
