"""A directory in diffusers' format: a `UNet2DModel` with its scheduler, alone or in a `DDPMPipeline`."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float

from ddpm_jax import rundir
from ddpm_jax.evaluation import torch_file
from ddpm_jax.whole_file import replacing

WEIGHTS = "diffusion_pytorch_model"
FACTS = "ddpm_jax.json"
"""What diffusers' files have no field for. Optional when read."""
LOADED_AS = {
    "_class_name": "DDPMPipeline",
    "unet": ["diffusers", "UNet2DModel"],
    "scheduler": ["diffusers", "DDPMScheduler"],
}
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention's layers before diffusers 0.15, which published files still have."""


class Folder(NamedTuple):
    """The JSON files as they are, and the tensors by name."""

    unet: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    facts: Mapping[str, Any]
    tensors: Mapping[str, Float[np.ndarray, "..."]]


def read(folder: pathlib.Path) -> Folder:
    """Read without running anything in the files. Raises FileNotFoundError or ValueError naming the file."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no directory; wanted one in diffusers' format")
    unet = _first(folder, ["unet/config.json", "config.json"])
    scheduler = _first(
        folder, ["scheduler/scheduler_config.json", "scheduler_config.json"], unet.parent
    )
    weights = _first(unet.parent, [f"{WEIGHTS}.safetensors", f"{WEIGHTS}.bin"])
    facts = folder / FACTS
    return Folder(
        _json(unet), _json(scheduler), _json(facts) if facts.exists() else {}, _tensors(weights)
    )


def write(folder: pathlib.Path, content: Folder, card: str) -> list[pathlib.Path]:
    """Write a `DDPMPipeline`, each file whole or not at all, the weights last; the paths.

    `card` is the text of its README.md.
    """
    path = folder / "unet" / f"{WEIGHTS}.safetensors"
    texts = {
        folder / "README.md": card,
        folder / "model_index.json": _dumped(LOADED_AS),
        folder / FACTS: _dumped(content.facts),
        folder / "scheduler" / "scheduler_config.json": _dumped(content.scheduler),
        folder / "unet" / "config.json": _dumped(content.unet),
    }
    for name, text in texts.items():
        with replacing(name) as temporary:
            temporary.write_text(text)
    with replacing(path) as temporary:
        # Without this entry, transformers and older diffusers refuse the file.
        # The file holds an array's memory as it is, so a transposed view has to become an array.
        whole = {name: np.ascontiguousarray(tensor) for name, tensor in content.tensors.items()}
        safetensors.numpy.save_file(whole, temporary, {"format": "pt"})
    return [*texts, path]


def _dumped(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, default=rundir.as_json) + "\n"


def _first(folder: pathlib.Path, names: Sequence[str], *others: pathlib.Path) -> pathlib.Path:
    for path in [parent / name for parent in (folder, *others) for name in names]:
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} has no {' and no '.join(names)}")


def _json(path: pathlib.Path) -> Mapping[str, Any]:
    content = rundir.read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, wanted an object")
    return content


def _tensors(path: pathlib.Path) -> dict[str, Float[np.ndarray, "..."]]:
    if path.suffix == ".bin":
        found = torch_file.read(path)
    else:
        try:
            found = safetensors.numpy.load_file(path)
        except (safetensors.SafetensorError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is no sound safetensors file of floats: {error}") from error
    return {_renamed(name): tensor for name, tensor in found.items()}


def _renamed(name: str) -> str:
    *parents, layer, kind = name.split(".") if name.count(".") > 1 else ("", name, "")
    if layer in OLD_NAMES and "attentions" in parents:
        return ".".join([*parents, OLD_NAMES[layer], kind])
    return name
