"""The peer's side: diffusers' U-Net and pipeline, conv4 in torch. `benchmarks.run` starts it.

It runs in any environment that has torch and diffusers, and imports nothing of this project but
the protocol and the recipe in torch.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks import recipe, turns
from benchmarks.recipe import DEVICE, random_batch, synchronize

if not recipe.MISSING:
    import diffusers
    import torch


def build(config: Mapping[str, Any]) -> Any:
    """The network of `config`, with the same number of weights."""
    net, side = config["net"], config["data"]["image_size"]
    unet = net["unet"]
    widths = [net["base_channels"] * multiplier for multiplier in net["multipliers"]]
    rows = [side // 2**level for level in range(len(widths))]
    down = [
        "AttnDownBlock2D" if r in unet["attention_resolutions"] else "DownBlock2D" for r in rows
    ]
    up = [kind.replace("Down", "Up") for kind in reversed(down)]
    classes = config["benchmark"]["num_classes"] if net["class_conditional"] else None
    model = diffusers.UNet2DModel(
        sample_size=side,
        in_channels=config["data"]["channels"],
        out_channels=config["data"]["channels"],
        layers_per_block=unet["num_res_blocks"],
        block_out_channels=tuple(widths),
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        norm_num_groups=unet["num_groups"],
        dropout=unet["dropout"],
        attention_head_dim=None,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        num_class_embeds=classes and classes + 1,
    )
    return recipe.place(model)


def predict(ask: Any, x: Any, t: Any, labels: Any) -> Any:
    return ask(x, t, labels).sample


def train(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    return recipe.train(build(config), predict, config, request)


def forward(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    return recipe.forward(build(config), predict, config, request)


def sampler(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """diffusers' own pipeline; it has no place for labels, so the network goes without."""
    bare = {**config, "net": {**config["net"], "class_conditional": False}}
    scheduler = diffusers.DDIMScheduler(config["schedule"]["num_steps"])
    pipeline = diffusers.DDIMPipeline(build(bare).eval(), scheduler)
    pipeline.set_progress_bar_config(disable=True)
    if DEVICE == "cuda":
        pipeline.unet = torch.compile(pipeline.unet.to(torch.bfloat16))
    steps = config["sampling"]["num_steps"]
    arguments = {"num_inference_steps": steps, "output_type": "np", "eta": 0.0}
    return lambda: pipeline(batch_size=request["batch"], **arguments), {}


def classifier(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """The training step of conv4."""
    section, side = config["classifier"], config["data"]["image_size"]
    model = recipe.place(conv4(config["data"]["channels"], side, section["dropout"]))
    adam = torch.optim.AdamW(
        model.parameters(),
        section["learning_rate"],
        weight_decay=section["weight_decay"],
        fused=True,
    )
    ask = recipe.compiled(model)
    images, labels = random_batch(config, request["batch"])

    def gradient(ask: Any, images: Any, labels: Any) -> None:
        logits = ask(images.float() / 127.5 - 1.0)
        torch.nn.functional.cross_entropy(logits, labels).backward()

    def call() -> None:
        gradient(ask, images, labels)
        adam.step()
        adam.zero_grad()
        synchronize()

    facts = recipe.facts_of(model, partial(gradient, model), images, labels)
    adam.zero_grad()
    return call, facts


def conv4(channels: int, side: int, dropout: float) -> Any:
    """Four convolutions, as in `ddpm_jax.nets.classifier`, with torch's own initialization."""
    nn, layers = torch.nn, []
    for before, after in ((channels, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, 128), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(128, 10))


def data(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    """torch's DataLoader over as many decoded images in memory: 50 batches a call."""
    images, labels = random_batch(config, request["num_images"])
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images.cpu(), labels_or_zeros(images, labels)),
        request["batch"],
        shuffle=True,
        drop_last=True,
    )

    def endless():
        while True:
            yield from loader

    batches = endless()

    def call() -> None:
        for _ in range(50):
            next(batches)[0].to(DEVICE)
        synchronize()

    return call, {"batches": 50}


def labels_or_zeros(images: Any, labels: Any) -> Any:
    return torch.zeros(len(images), dtype=torch.long) if labels is None else labels.cpu()


def matmul(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    a = torch.ones(request["size"], request["size"], dtype=dtype_of(request), device=DEVICE)

    def call() -> None:
        torch.mm(a, a)
        synchronize()

    return call, {}


def convolution(config: Mapping[str, Any], request: Mapping[str, Any]) -> turns.Prepared:
    x = torch.ones(request["batch"], 128, 32, 32, dtype=dtype_of(request), device=DEVICE)
    kernel = torch.ones(128, 128, 3, 3, dtype=dtype_of(request), device=DEVICE)
    x, kernel = (a.to(memory_format=torch.channels_last) for a in (x, kernel))

    def call() -> None:
        with torch.inference_mode():
            torch.nn.functional.conv2d(x, kernel, padding=1)
        synchronize()

    return call, {}


def dtype_of(request: Mapping[str, Any]) -> Any:
    return getattr(torch, request["dtype"])


def main() -> None:
    turns.serve([train, forward, sampler, classifier, data, matmul, convolution], recipe.versions())


if __name__ == "__main__":
    main()
