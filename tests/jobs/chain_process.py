"""The chain in a process that has imported everything already: the program of test_reliability_kills.py.

A fork server pays for the imports, so that the lives of its children, which
are killed at random, are spent on the run itself.
"""

import os
import sys

import jax
from absl import logging

from configs import digits
from ddpm_jax.jobs import evaluate, export, train

FIELDS = {
    "net.base_channels": 8,
    "net.multipliers": (1,),
    "net.unet.num_groups": 4,
    "net.unet.num_res_blocks": 1,
    "schedule.num_steps": 20,
    "optim.warmup_steps": 2,
    "training.batch_size": 32,
    "training.num_steps": 60,
    "training.log_every": 7,
    "training.eval_every": 15,
    "training.save_every": 5,
    "training.sample_every": 1000,
    "training.eval_images": 64,
    "sampling.num_steps": 4,
    "sampling.batch_size": 32,
    "export.num_images": 1600,
    "evaluation.num_images": 200,
    "evaluation.likelihood_images": 0,
    "classifier.num_steps": 6,
    "classifier.warmup_steps": 2,
    "classifier.num_seeds": 1,
}


def live(workdir, cache, output):
    """Train, export and evaluate; `output` is the file that takes stdout and stderr."""
    with open(output, "a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    logging.set_verbosity(logging.WARNING)
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    config = digits.get_config()
    config.update_from_flattened_dict(FIELDS)
    for job in (train, export, evaluate):
        job.run(config, workdir)
