"""System 4 with its own process: a ten-step blend that never reaches noise, and x replaced by its estimate.

python -m ddpm_jax.main --config=configs/studies/system4_cat_dog_faithful.py

Time: not measured; made for GPUs. Result: not measured. It fixes nothing, and is for comparison with
system4_cat_dog.py: sampled from noise that it was never trained on, it gives textures.
"""

from configs.studies import system4_cat_dog


def get_config():
    config = system4_cat_dog.get_config()
    config.schedule.name = "blend"
    config.schedule.blend_reach = 0.4
    config.schedule.num_steps = 10
    config.loss.kind = "scheduled"
    config.sampling.solver = "iterative_x0"
    config.sampling.spacing = "uniform"
    config.sampling.iterative_noise = 0.05
    config.sampling.clip = False
    return config
