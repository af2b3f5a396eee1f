"""A config that runs the whole chain on real digits in seconds, and the program as a process."""

import os
import pathlib
import socket
import sys

from configs import digits
from ddpm_jax import run_files, rundir, view

ROOT = pathlib.Path(__file__).parents[2]
TINY = {
    "net.base_channels": 8,
    "net.multipliers": (1,),
    "net.unet.num_groups": 4,
    "net.unet.num_res_blocks": 1,
    "schedule.num_steps": 20,
    "optim.warmup_steps": 2,
    "training.batch_size": 32,
    "training.num_steps": 6,
    "training.log_every": 4,
    "training.eval_every": 3,
    "training.save_every": 3,
    "training.sample_every": 6,
    "training.eval_images": 64,
    "sampling.num_steps": 4,
    "sampling.images_per_class": 2,
    "sampling.batch_size": 20,
    "export.num_images": 100,
    "evaluation.likelihood_images": 0,
    "classifier.num_steps": 6,
    "classifier.warmup_steps": 2,
    "classifier.num_seeds": 2,
}


def tiny():
    config = digits.get_config()
    config.update_from_flattened_dict(TINY)
    return config


def with_quick_modes(config):
    """Every mode takes seconds, those outside the chain too."""
    config.sweep.samplers, config.sweep.guidance_scales = ("ddim:2",), (1.0,)
    config.sweep.num_images, config.sweep.num_seeds = 20, 2
    config.worth.sizes, config.worth.multiples, config.worth.num_seeds = (10,), (1,), 2
    config.worth.num_steps, config.guide.num_steps, config.editing.num_images = 4, 2, 2
    config.worth.extra_sizes, config.worth.controls = 0, ("augmented",)
    config.editing.starts = (0.5,)
    return config


def work(stage, config, workdir, synthetic=None):
    """What a stage returns when it runs, whether its result stands or not; no result is written."""
    synthetic = synthetic or rundir.synthetic(workdir)
    files = run_files.open_for(stage.name, config, workdir, synthetic)
    return dict(stage.work(view.View(config, files.note_field), files))


def command(*arguments):
    """The command of `ddpm_jax.main` on the tiny config."""
    fields = [f"--config.{name}={value}" for name, value in TINY.items()]
    return [
        sys.executable,
        "-m",
        "ddpm_jax.main",
        "--config=configs/digits.py",
        *fields,
        *arguments,
    ]


def environment(devices):
    """Of a program that keeps its small compiled programs too, as it does by itself."""
    ours = {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    return os.environ | ours | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def quick_environment():
    """That of one device, where compiling takes longer than what is compiled: without XLA's optimizations."""
    return environment(1) | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def free_port():
    """For a coordinator on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
