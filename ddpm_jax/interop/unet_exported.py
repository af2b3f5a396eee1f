"""The config of the `UNet2DModel` that has the same function as a network of this program."""

from typing import Any

from ml_collections import ConfigDict

from ddpm_jax.interop.unet_config import DEFAULTS, DOWN, PERIOD, UP, attended


def config_of(config: ConfigDict, num_classes: int, *, null_class: bool) -> dict[str, Any]:
    """The config of the `UNet2DModel` with the same function as the network of `config`.

    `num_classes` is 0 for an unconditional network; `null_class` says that the null class is a class of its
    own. Raises ValueError naming the first field without a counterpart.
    """
    net, unet = config.net, config.net.unet
    _refuse_others(config)
    half = net.base_channels // 2
    shifts = {PERIOD: 1, PERIOD ** ((half - 1) / half): 0}
    if unet.max_period not in shifts:
        raise ValueError(
            f"net.unet.max_period is {unet.max_period:g}; a UNet2DModel has {PERIOD:g}"
        )
    sides = [config.data.image_size // 2**level for level in range(len(net.multipliers))]
    attends = [int(side in unet.attention_resolutions) for side in sides]
    film = unet.conditioning == "film"
    return DEFAULTS | {
        "_class_name": "UNet2DModel",
        "sample_size": config.data.image_size,
        "in_channels": config.data.channels,
        "out_channels": config.data.channels,
        "freq_shift": shifts[unet.max_period],
        "flip_sin_to_cos": False,
        "down_block_types": [DOWN[attend] for attend in attends],
        "up_block_types": [UP[attend] for attend in reversed(attends)],
        "block_out_channels": [net.base_channels * factor for factor in net.multipliers],
        "layers_per_block": unet.num_res_blocks,
        "downsample_padding": unet.downsample_padding,
        "dropout": unet.dropout,
        "attention_head_dim": _head_dim(config, attends),
        "norm_num_groups": unet.num_groups,
        "attn_norm_num_groups": unet.num_groups if film else None,
        "norm_eps": unet.norm_epsilon,
        "resnet_time_scale_shift": "scale_shift" if film else "default",
        "num_class_embeds": num_classes + null_class if num_classes else None,
        "add_attention": unet.middle_attention != "none",
    }


def _head_dim(config: ConfigDict, attends: list[int]) -> int | None:
    net, unet = config.net, config.net.unet
    if net.num_heads == 1 and not unet.head_channels:
        return None
    all_widths = [net.base_channels * factor for factor in net.multipliers]
    widths = attended(all_widths, attends, unet.middle_attention != "none")
    dims = {unet.head_channels or width // net.num_heads for width in widths}
    uneven = net.num_heads and any(net.num_heads * dim != width for dim in dims for width in widths)
    if len(dims) > 1 or uneven:
        raise ValueError(
            f"net.num_heads is {net.num_heads} and net.unet.head_channels {unet.head_channels} at layers of "
            f"{sorted(widths)} channels; a UNet2DModel has heads of equal width that share all channels"
        )
    return dims.pop() if dims else None


def _refuse_others(config: ConfigDict) -> None:
    net, unet = config.net, config.net.unet
    if net.name != "unet":
        raise ValueError(f"net.name is {net.name!r}; a UNet2DModel is 'unet'")
    wanted: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "net.attention": (set(net.attention) - {"softmax"}, (set(),)),
        "net.augment_condition": (net.augment_condition, (False,)),
        "net.unet.middle_attention": (unet.middle_attention, ("softmax", "none")),
        "net.unet.norm": (unet.norm, ("group",)),
        "net.unet.resampling": (unet.resampling, ("conv",)),
        "net.unet.time_embedding": (unet.time_embedding, ("sinusoidal",)),
        "net.unet.patch_size": (unet.patch_size, (1,)),
        "loss.prediction": (config.loss.prediction, ("eps", "x0", "v")),
    }
    for name, (value, known) in wanted.items():
        if value not in known:
            raise ValueError(
                f"{name} is {value!r}; a UNet2DModel has {' or '.join(map(repr, known))}"
            )
    if config.loss.kind in ("hybrid", "variational"):
        raise ValueError(
            f"loss.kind is {config.loss.kind!r}: a learned variance has no counterpart"
        )
