"""What the networks in torch have in common: the training recipe, the forward pass, their images.

On a GPU they have bfloat16, channels-last, `torch.compile` and a fused AdamW; on CPUs float32 and
eager, with the fused AdamW.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks import turns

try:
    import diffusers
    import torch
    import torch.utils.flop_counter
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
except ImportError as error:
    MISSING, DEVICE = error.name or str(error), ""
else:
    MISSING, DEVICE = "", "cuda" if torch.cuda.is_available() else "cpu"

Predict = Callable[[Any, Any, Any, Any], Any]
"""The prediction, from the network, compiled or not, the images, their times and labels or None."""


def place(model: Any) -> Any:
    model = model.to(DEVICE)
    return model.to(memory_format=torch.channels_last) if DEVICE == "cuda" else model


def compiled(model: Any) -> Any:
    return torch.compile(model) if DEVICE == "cuda" else model


def train(
    model: Any, predict: Predict, config: Mapping[str, Any], request: Mapping[str, Any]
) -> turns.Prepared:
    """Noise, network, gradient, clipping, optimizer and average."""
    rate = config["optim"]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(rate["ema_decay"]))
    adam = torch.optim.AdamW(
        model.parameters(),
        rate["learning_rate"],
        (rate["beta1"], rate["beta2"]),
        weight_decay=rate["weight_decay"],
        fused=True,
    )
    levels = diffusers.DDPMScheduler(config["schedule"]["num_steps"])
    ask = compiled(model)
    images, labels = random_batch(config, request["batch"])

    def gradient(ask: Any, images: Any, labels: Any) -> None:
        x0 = images.float() / 127.5 - 1.0
        eps = torch.randn_like(x0)
        t = torch.randint(0, config["schedule"]["num_steps"], (len(x0),), device=DEVICE)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=config["net"]["dtype"] != "float32"):
            raw = predict(ask, levels.add_noise(x0, eps, t), t, labels)
        torch.nn.functional.mse_loss(raw.float(), eps).backward()

    def call() -> None:
        gradient(ask, images, labels)
        if rate["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), rate["clip_norm"])
        adam.step()
        adam.zero_grad()
        average.update_parameters(model)
        synchronize()

    facts = facts_of(model, partial(gradient, model), images, labels)
    adam.zero_grad()
    return call, facts


def forward(
    model: Any, predict: Predict, config: Mapping[str, Any], request: Mapping[str, Any]
) -> turns.Prepared:
    ask = compiled(model.eval())
    images, labels = random_batch(config, request["batch"])
    x, t = images.float() / 127.5 - 1.0, torch.linspace(1, 999, len(images), device=DEVICE)

    def apply(ask: Any, x: Any, t: Any, labels: Any) -> None:
        with (
            torch.inference_mode(),
            torch.autocast(DEVICE, torch.bfloat16, enabled=config["net"]["dtype"] != "float32"),
        ):
            predict(ask, x, t, labels)
        synchronize()

    return partial(apply, ask, x, t, labels), facts_of(model, partial(apply, model), x, t, labels)


def facts_of(model: Any, run: Callable[..., None], images: Any, *beside: Any) -> turns.Facts:
    """With torch's own count of a batch's GFLOP: of one image, not compiled, times their number."""
    one = (None if rows is None else rows[:1] for rows in (images, *beside))
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        run(*one)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflop": counter.get_total_flops() * len(images) / 1e9,
    }


def random_batch(config: Mapping[str, Any], num: int) -> Any:
    shape = (num, config["data"]["channels"], *2 * (config["data"]["image_size"],))
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=DEVICE)
    if DEVICE == "cuda":
        images = images.contiguous(memory_format=torch.channels_last)
    if not config["net"]["class_conditional"]:
        return images, None
    return images, torch.randint(0, config["benchmark"]["num_classes"], (num,), device=DEVICE)


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def versions() -> turns.Facts:
    """The versions of the libraries, or the name of the one that is missing."""
    if MISSING:
        return {"missing": MISSING}
    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "platform": DEVICE,
        "num_threads": torch.get_num_threads(),
    }
