"""The config of diffusers' `UNet2DModel`, read: the layers and the fields of this program that it means."""

from collections.abc import Mapping, Sequence
from typing import Any

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
    "downsample_padding": (0, 1),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
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
        # diffusers has heads of one width at every level.
        "net.num_heads": 0 if fields["attention_head_dim"] else 1,
        "net.class_conditional": shape.num_classes > 0,
        "net.augment_condition": False,
        "net.unet.num_res_blocks": shape.num_res_blocks,
        "net.unet.attention_resolutions": tuple(
            size // 2**level for level, attends in enumerate(shape.attends) if attends
        ),
        "net.unet.middle_attention": "softmax" if shape.middle_attends else "none",
        "net.unet.head_channels": fields["attention_head_dim"] or 0,
        "net.unet.dropout": float(fields["dropout"]),
        "net.unet.conditioning": "film"
        if fields["resnet_time_scale_shift"] == "scale_shift"
        else "add",
        "net.unet.norm": "group",
        "net.unet.num_groups": fields["norm_num_groups"],
        "net.unet.norm_epsilon": float(fields["norm_eps"]),
        "net.unet.resampling": "conv",
        "net.unet.downsample_padding": fields["downsample_padding"],
        "net.unet.time_embedding": "sinusoidal",
        "net.unet.max_period": shape.max_period,
        "net.unet.patch_size": 1,
    }


def attended(
    widths: Sequence[int], attends: Sequence[bool | int], middle_attends: bool
) -> set[int]:
    """The channels of the levels with attention, the lowest being that of the middle too."""
    found = {width for width, at in zip(widths, attends, strict=True) if at}
    return found | ({widths[-1]} if middle_attends else set())


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
    if fields["in_channels"] not in (1, 3):
        raise ValueError(f"in_channels is {fields['in_channels']}; this program has 1 or 3")
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
