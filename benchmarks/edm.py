"""The side of NVlabs/edm: its DDPM++ network under the peer's recipe. `benchmarks.run` starts it.

    python -m benchmarks.edm PATH       a checkout of github.com/NVlabs/edm

Their licence forbids commercial use: their code is imported from the checkout that the user brings,
and none of it is in this project.
"""

import importlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import recipe, turns

if not recipe.MISSING:
    import torch


def network() -> Any:
    """Their class. Raises ImportError where something that it needs is not installed."""
    return importlib.import_module("training.networks").SongUNet


def build(config: Mapping[str, Any]) -> Any:
    """The network of `config`; blocks, places of attention and number of weights are theirs."""
    net, images = config["net"], config["data"]
    unet = net["unet"]
    model = network()(
        img_resolution=images["image_size"],
        in_channels=images["channels"],
        out_channels=images["channels"],
        label_dim=config["benchmark"]["num_classes"] if net["class_conditional"] else 0,
        model_channels=net["base_channels"],
        channel_mult=list(net["multipliers"]),
        num_blocks=unet["num_res_blocks"],
        attn_resolutions=list(unet["attention_resolutions"]),
        dropout=unet["dropout"],
        embedding_type="positional",
        encoder_type="standard",
        decoder_type="standard",
        channel_mult_noise=1,
        resample_filter=[1, 1],
    )
    for block in model.modules():
        if hasattr(block, "skip_scale"):
            # NumPy's number; `torch.compile` fails on one in inference mode (torch 2.13).
            block.skip_scale = float(block.skip_scale)
    return recipe.place(model)


def predictor(config: Mapping[str, Any]) -> recipe.Predict:
    """Times are floats there, labels vectors with a one."""
    num_classes = config["benchmark"]["num_classes"]

    def predict(ask: Any, x: Any, t: Any, labels: Any) -> Any:
        if labels is not None:
            labels = torch.nn.functional.one_hot(labels, num_classes).float()
        return ask(x, t.float(), labels)

    return predict


def train(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    return recipe.train(build(config), predictor(config), config, request)


def forward(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    return recipe.forward(build(config), predictor(config), config, request)


def versions() -> turns.Facts:
    found = recipe.versions()
    if "missing" not in found:
        try:
            network()
        except ImportError as error:
            return {"missing": error.name or str(error)}
        found["commit"] = commit()
    return found


def commit() -> str:
    """The commit of the checkout; empty if git does not know it."""
    command = ["git", "-C", sys.path[0], "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    turns.serve([train, forward], versions())


if __name__ == "__main__":
    main()
