"""--mode=export_weights: write a trained model in diffusers' format, for `DDPMPipeline.from_pretrained`."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, stages
from ddpm_jax.interop import (
    diffusers_folder,
    model_card,
    scheduler_config,
    unet_config,
    unet_exported,
    unet_tensors,
)
from ddpm_jax.models import trained
from ddpm_jax.training import devices, state


@stages.stage("export_weights", "train", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """Raises ValueError naming the first field of the config that has no counterpart."""
    model = trained.load_model(config, files.checkpoints(guided=False), guided=False)
    num_classes = model.net.num_classes
    null_class = bool(num_classes and config.loss.label_dropout)
    unet = unet_exported.config_of(config, num_classes, null_class=null_class)
    scheduler = scheduler_config.config_of(config)
    params = jax.tree.map(np.asarray, model.weights.net["params"])
    tensors = unet_tensors.to_tensors(params, unet_config.shape_of(unet, null_class=null_class))
    facts = {"class_names": model.class_names, "null_class": null_class}
    folder = files.workdir / "diffusers"
    num = state.count_parameters(tensors)
    text = model_card.card(unet, scheduler, {**facts, **model.facts}, num)
    if devices.is_writer():
        content = diffusers_folder.Folder(unet, scheduler, facts, tensors)
        for path in diffusers_folder.write(folder, content, text):
            files.output(path)
    return {
        "checkpoint": model.facts["step"],
        "num_parameters": num,
        "folder": folder.name,
        "null_class": null_class,
    }
