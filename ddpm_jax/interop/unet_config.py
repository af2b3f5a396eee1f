"""The config of diffusers' `UNet2DModel`, to and from the fields of this program's config."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax.interop.unet_tensors import Shape

DOWN, UP = ("DownBlock2D", "AttnDownBlock2D"), ("UpBlock2D", "AttnUpBlock2D")
"""Without and with attention."""
PERIOD = 10_000.0
"""The longest period of diffusers' time embedding with `freq_shift` 1."""
FIXED: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "freq_shift": (0, 1),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1, 1.0),
    "downsample_padding": (0,),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "norm_eps": (1e-6,),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
    "add_attention": (True, False),
    "dual_cross_attention": (False,),
}
"""The values that this program's network can take, for fields of which it cannot take all."""
DEFAULTS: dict[str, Any] = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "class_embed_type": None,
    "num_class_embeds": None,
    "add_attention": True,
}
"""What `UNet2DModel` takes for a field that its config leaves out (diffusers 0.42)."""
NEEDED = (
    "sample_size", "in_channels", "out_channels", "block_out_channels", "layers_per_block",
    "down_block_types", "up_block_types",
)  # fmt: skip


def shape_of(given: Mapping[str, Any], *, null_class: bool = False) -> Shape:
    """What decides which layers there are. Raises ValueError naming the first field that has no counterpart.

    `null_class` says that the last row of the class table is that of the null class.
    """
    fields = _checked(given)
    levels = [kind == DOWN[1] for kind in fields["down_block_types"]]
    rows, half = fields["num_class_embeds"] or 0, fields["block_out_channels"][0] // 2
    if null_class and rows < 2:
        raise ValueError(f"num_class_embeds is {rows}, wanted a null class and at least one other")
    return Shape(
        num_levels=len(levels),
        num_res_blocks=fields["layers_per_block"],
        attends=tuple(levels),
        middle_attends=fields["add_attention"],
        num_classes=rows - null_class,
        null_class=null_class,
        # diffusers divides by half - freq_shift, this program by half - 1.
        max_period=PERIOD if fields["freq_shift"] == 1 else PERIOD ** ((half - 1) / half),
        cosines_first=bool(fields["flip_sin_to_cos"]),
    )


def fields_of(given: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The fields of this program's config that make the same network, by dotted name."""
    fields = _checked(given)
    base, *_ = widths = fields["block_out_channels"]
    size = fields["sample_size"]
    return {
        "data.image_size": size,
        "data.channels": fields["in_channels"],
        "net.name": "unet",
        "net.base_channels": base,
        "net.multipliers": tuple(width // base for width in widths),
        "net.attention": ("softmax",),
        "net.num_heads": _num_heads(fields),
        "net.class_conditional": shape.num_classes > 0,
        "net.augment_condition": False,
        "net.unet.num_res_blocks": shape.num_res_blocks,
        "net.unet.attention_resolutions": tuple(
            size // 2**level for level, attends in enumerate(shape.attends) if attends
        ),
        "net.unet.middle_attention": "softmax" if shape.middle_attends else "none",
        "net.unet.head_channels": 0,
        "net.unet.dropout": float(fields["dropout"]),
        "net.unet.conditioning": "film"
        if fields["resnet_time_scale_shift"] == "scale_shift"
        else "add",
        "net.unet.norm": "group",
        "net.unet.num_groups": fields["norm_num_groups"],
        "net.unet.resampling": "conv",
        "net.unet.time_embedding": "sinusoidal",
        "net.unet.max_period": shape.max_period,
        "net.unet.patch_size": 1,
    }


def _num_heads(fields: Mapping[str, Any]) -> int:
    """diffusers has heads of one width at every level, this program as many heads."""
    each = fields["attention_head_dim"]
    if each is None:
        return 1
    pairs = zip(fields["block_out_channels"], fields["down_block_types"], strict=True)
    widths = {width for width, kind in pairs if kind == DOWN[1]}
    if fields["add_attention"]:
        widths.add(fields["block_out_channels"][-1])
    heads = {max(1, width // each) for width in widths}
    if len(heads) > 1:
        raise ValueError(
            f"attention_head_dim is {each} at layers of {sorted(widths)} channels: {sorted(heads)} heads, "
            "wanted as many at each"
        )
    return heads.pop() if heads else 1


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("_class_name", "UNet2DModel") != "UNet2DModel":
        raise ValueError(f"_class_name is {given['_class_name']!r}, wanted 'UNet2DModel'")
    if missing := [name for name in NEEDED if name not in given]:
        raise ValueError(f"{missing[0]} is missing")
    fields = DEFAULTS | dict(given)
    for name, possible in FIXED.items():
        if name in fields and fields[name] not in possible:
            known = " or ".join(map(repr, possible))
            raise ValueError(f"{name} is {fields[name]!r}; this program has {known}")
    _check_blocks(fields)
    base, *_ = widths = fields["block_out_channels"]
    if any(width % base for width in widths):
        raise ValueError(f"block_out_channels is {widths}, wanted multiples of the first")
    if fields["time_embedding_dim"] not in (None, 4 * base):
        raise ValueError(f"time_embedding_dim is {fields['time_embedding_dim']}, wanted {4 * base}")
    if fields["in_channels"] != fields["out_channels"]:
        raise ValueError(
            f"out_channels is {fields['out_channels']}, wanted in_channels, {fields['in_channels']}: a "
            "learned variance has no counterpart"
        )
    if not isinstance(fields["sample_size"], int):
        raise ValueError(
            f"sample_size is {fields['sample_size']}, wanted one number: square images"
        )
    groups = fields["norm_num_groups"]
    wanted = groups if fields["resnet_time_scale_shift"] == "scale_shift" else None
    # With scale_shift, the attention in the middle has no norm unless the field gives it one.
    if fields["add_attention"] and fields["attn_norm_num_groups"] not in (wanted, groups):
        raise ValueError(
            f"attn_norm_num_groups is {fields['attn_norm_num_groups']}, wanted {groups}: attention follows "
            "a group norm here"
        )
    return fields


def _check_blocks(fields: Mapping[str, Any]) -> None:
    for name, known in (("down_block_types", DOWN), ("up_block_types", UP)):
        for place, kind in enumerate(fields[name]):
            if kind not in known:
                raise ValueError(
                    f"{name}[{place}] is {kind!r}; this program has {' and '.join(known)}"
                )
    down = [DOWN.index(kind) for kind in fields["down_block_types"]]
    up = [UP.index(kind) for kind in fields["up_block_types"]]
    if up != down[::-1] or len(down) != len(fields["block_out_channels"]):
        raise ValueError(
            f"up_block_types is {fields['up_block_types']}, wanted the mirror of down_block_types, one for "
            f"each of the {len(fields['block_out_channels'])} block_out_channels"
        )


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
        "downsample_padding": 0,
        "dropout": unet.dropout,
        "attention_head_dim": _head_dim(config, attends),
        "norm_num_groups": unet.num_groups,
        "attn_norm_num_groups": unet.num_groups if film else None,
        "norm_eps": 1e-6,
        "resnet_time_scale_shift": "scale_shift" if film else "default",
        "num_class_embeds": num_classes + null_class if num_classes else None,
        "add_attention": unet.middle_attention != "none",
    }


def _head_dim(config: ConfigDict, attends: list[int]) -> int | None:
    net, unet = config.net, config.net.unet
    widths = {
        net.base_channels * factor
        for factor, at in zip(net.multipliers, attends, strict=True)
        if at
    }
    if unet.middle_attention != "none":
        widths.add(net.base_channels * net.multipliers[-1])
    if net.num_heads == 1 and not unet.head_channels:
        return None
    dims = {unet.head_channels or width // net.num_heads for width in widths}
    if len(dims) > 1 or any(net.num_heads * dim != width for dim in dims for width in widths):
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
