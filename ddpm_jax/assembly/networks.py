"""From a config to the denoising network, and to the function that a loss or a solver calls."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from ml_collections import ConfigDict

from ddpm_jax.assembly.augmentation import num_told
from ddpm_jax.assembly.choice import choose
from ddpm_jax.diffusion import edm, predictions
from ddpm_jax.nets import double_conv_unet, patches, unet
from ddpm_jax.training import compilation
from ddpm_jax.types import Images, Labels, Params

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _unet(attention: tuple[str, ...], max_t: float, **fields: Any) -> nn.Module:
    kinds = attention[0] if len(attention) == 1 else attention
    return unet.UNet(attention=kinds, max_t=max_t, **fields)


def _double_conv(attention: tuple[str, ...], max_t: float, **fields: Any) -> nn.Module:
    return double_conv_unet.DoubleConvUNet(attention=_one_kind("double_conv", attention), **fields)


def _patch(attention: tuple[str, ...], max_t: float, **fields: Any) -> nn.Module:
    return patches.PatchUNet(attention=_one_kind("patch", attention), max_t=max_t, **fields)


def _one_kind(name: str, attention: tuple[str, ...]) -> str:
    if len(attention) != 1:
        raise ValueError(f"net.attention is {attention}; {name!r} takes one kind")
    return attention[0]


NETS: dict[str, Callable[..., nn.Module]] = {
    "unet": _unet,
    "double_conv": _double_conv,
    "patch": _patch,
}
"""Each takes the arguments that `build_net` gives to all, and the fields of its section, `net.NAME`."""


def build_net(config: ConfigDict, num_classes: int) -> nn.Module:
    """`config` is the whole config: schedule, loss and augmentation say what the network takes and gives."""
    net = config.net
    build = choose("net.name", net.name, NETS)
    return build(
        out_channels=config.data.channels * (2 if learns_variance(config) else 1),
        base_channels=net.base_channels,
        multipliers=net.multipliers,
        attention=net.attention,
        num_heads=net.num_heads,
        num_classes=num_classes if net.class_conditional else 0,
        num_changes=num_told(config.augment) if net.augment_condition else 0,
        # EDM's network takes log(sigma) / 4, which is of order 1, instead of t.
        max_t=1.0 if config.loss.prediction == "edm" else float(config.schedule.num_steps),
        dtype=choose("net.dtype", net.dtype, DTYPES),
        **net[net.name],
    )


def finest_features(config: ConfigDict) -> int:
    """Values of one image's features at the highest resolution."""
    net = config.net
    patch_size = net.unet.patch_size if net.name == "unet" else 1
    return (config.data.image_size // patch_size) ** 2 * net.base_channels


def init_net(net: nn.Module, config: ConfigDict, key: Key[Array, ""]) -> Params:
    """Parameters for images of the data section's size; raises if the levels do not divide it."""
    size, channels = config.image_size, config.channels
    label = jnp.zeros(1, jnp.int32) if net.num_classes else None
    init = compilation.compile_briefly(net.init)
    params: Params = init(key, jnp.zeros((1, size, size, channels)), jnp.zeros(1), label)
    return params


def build_predict(
    net: nn.Module, params: Params, label: Labels, **options: Any
) -> predictions.Predict:
    """The network with its parameters and labels bound.

    Without `changes`, a network that is told how images are augmented takes them for not augmented.
    """

    def predict(xt: Images, t: Array) -> Float[Array, "B H W out"]:
        raw: Any = net.apply(params, xt, t, label if net.num_classes else None, **options)
        return raw

    return predict


def build_reader(config: ConfigDict, predict: predictions.Predict) -> predictions.Denoiser:
    """The denoiser that reads its estimates from the network's output."""
    kind = config.loss.prediction
    if kind == "edm":
        return edm.denoiser(predict)
    if learns_variance(config):
        return predictions.denoiser_with_variance(predict, kind)
    return predictions.denoiser(predict, kind)


def learns_variance(config: ConfigDict) -> bool:
    return config.loss.kind in ("hybrid", "variational")
