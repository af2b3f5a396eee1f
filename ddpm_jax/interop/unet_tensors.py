"""The tensors of diffusers' `UNet2DModel`, to and from the parameters of `nets.unet.UNet`.

The two networks are the same function (Ho et al. 2020). The layouts differ, and diffusers counts noise
levels from 0, this program from 1.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util
from jaxtyping import Float

Array = Float[np.ndarray, "..."]
Tensors = Mapping[str, Array]
"""By the names of a `UNet2DModel`'s state."""


class Shape(NamedTuple):
    """What decides which layers there are."""

    num_levels: int
    num_res_blocks: int
    attends: tuple[bool, ...]
    """At each level."""
    middle_attends: bool
    num_classes: int
    """Classes, not counting the null class; 0: unconditional."""
    null_class: bool
    """Whether the tensors have a row for the null class."""
    max_period: float
    cosines_first: bool = False
    """Whether the time embedding has the cosines before the sines."""


class Layer(NamedTuple):
    ours: str
    """Path in the parameters, with slashes."""
    theirs: str
    kind: str


def layers(shape: Shape) -> Iterator[Layer]:
    """Every layer of the network, in the order of a `UNet2DModel`'s parts."""
    yield Layer("stem", "conv_in", "conv")
    yield Layer("conditioning/time_0", "time_embedding.linear_1", "time")
    yield Layer("conditioning/time_1", "time_embedding.linear_2", "dense")
    if shape.num_classes:
        yield Layer("conditioning/label/table", "class_embedding", "table")
    last = shape.num_levels - 1
    for level in range(shape.num_levels):
        theirs = f"down_blocks.{level}"
        for index in range(shape.num_res_blocks):
            yield from _block(f"encoder_{level}_{index}", f"{theirs}.resnets.{index}")
            if shape.attends[level]:
                yield from _attention(f"encoder_{level}_{index}", f"{theirs}.attentions.{index}")
        if level < last:
            yield Layer(f"down_{level + 1}/conv", f"{theirs}.downsamplers.0.conv", "conv")
    yield from _block("middle_0", "mid_block.resnets.0")
    if shape.middle_attends:
        yield from _attention("middle", "mid_block.attentions.0")
    yield from _block("middle_1", "mid_block.resnets.1")
    for level in reversed(range(shape.num_levels)):
        theirs = f"up_blocks.{last - level}"
        for index in range(shape.num_res_blocks + 1):
            yield from _block(f"decoder_{level}_{index}", f"{theirs}.resnets.{index}")
            if shape.attends[level]:
                yield from _attention(f"decoder_{level}_{index}", f"{theirs}.attentions.{index}")
        if level:
            yield Layer(f"up_{level}/conv", f"{theirs}.upsamplers.0.conv", "conv")
    yield Layer("head_norm", "conv_norm_out", "norm")
    yield Layer("head", "conv_out", "conv")


def _block(ours: str, theirs: str) -> Iterator[Layer]:
    for number in (0, 1):
        yield Layer(f"{ours}/norm_{number}", f"{theirs}.norm{number + 1}", "norm")
        yield Layer(f"{ours}/conv_{number}", f"{theirs}.conv{number + 1}", "conv")
    yield Layer(f"{ours}/embedding", f"{theirs}.time_emb_proj", "dense")
    yield Layer(f"{ours}/shortcut", f"{theirs}.conv_shortcut", "shortcut")


def _attention(ours: str, theirs: str) -> Iterator[Layer]:
    yield Layer(f"{ours}_attention/norm", f"{theirs}.group_norm", "norm")
    yield Layer(f"{ours}_attention/qkv", theirs, "qkv")
    yield Layer(f"{ours}_attention/out", f"{theirs}.to_out.0", "dense")


def from_tensors(tensors: Tensors, shape: Shape) -> dict[str, Any]:
    """Our parameters. Raises ValueError naming the first tensor that is missing, or one that is left."""
    left, params = dict(tensors), {}

    def take(name: str) -> Array:
        if name not in left:
            raise ValueError(f"there is no tensor {name!r}")
        return np.asarray(left.pop(name), np.float32)

    for layer in layers(shape):
        if layer.kind == "shortcut" and f"{layer.theirs}.weight" not in left:
            continue  # the width stays the same
        params[layer.ours] = _read(layer, take, shape)
    if left:
        raise ValueError(f"the tensor {min(left)!r} belongs to no layer of this network")
    return traverse_util.unflatten_dict(params, sep="/")


def _read(layer: Layer, take: Any, shape: Shape) -> dict[str, Array]:
    name = layer.theirs
    if layer.kind == "table":
        table = take(f"{name}.weight")
        null = np.zeros((0 if shape.null_class else 1, table.shape[1]), np.float32)
        return {"embedding": np.concatenate([table, null])}
    if layer.kind == "qkv":
        parts = [
            (take(f"{name}.to_{part}.weight").T, take(f"{name}.to_{part}.bias")) for part in "qkv"
        ]
        kernels, biases = zip(*parts, strict=True)
        return {"kernel": np.concatenate(kernels, axis=1), "bias": np.concatenate(biases)}
    weight, bias = take(f"{name}.weight"), take(f"{name}.bias")
    if layer.kind == "norm":
        return {"scale": weight, "bias": bias}
    if layer.kind == "conv":
        return {"kernel": weight.transpose(2, 3, 1, 0), "bias": bias}
    kernel = weight.reshape(weight.shape[:2]).T
    if layer.kind == "time":
        # Their embedding is that of t - 1.
        kernel = _shifted(_swapped(kernel, shape), shape.max_period, -1.0)
    return {"kernel": kernel, "bias": bias}


def to_tensors(params: Mapping[str, Any], shape: Shape) -> dict[str, Array]:
    """`UNet2DModel`'s tensors from our parameters."""
    tensors: dict[str, Array] = {}
    flat = traverse_util.flatten_dict(params, is_leaf=_is_layer, sep="/")
    for layer in layers(shape):
        if layer.kind == "shortcut" and layer.ours not in flat:
            continue
        tensors |= _written(layer, flat.pop(layer.ours), shape)
    if flat:
        raise ValueError(f"{min(flat)!r} has no place in a UNet2DModel")
    return tensors


def _is_layer(path: tuple[str, ...], part: Mapping[str, Any]) -> bool:
    return not any(isinstance(inner, Mapping) for inner in part.values())


def _written(layer: Layer, part: Mapping[str, Array], shape: Shape) -> dict[str, Array]:
    name = layer.theirs
    if layer.kind == "table":
        rows = shape.num_classes + shape.null_class
        return {f"{name}.weight": part["embedding"][:rows]}
    if layer.kind == "qkv":
        kernels, biases = np.split(part["kernel"], 3, axis=1), np.split(part["bias"], 3)
        return {f"{name}.to_{one}.weight": k.T for one, k in zip("qkv", kernels, strict=True)} | {
            f"{name}.to_{one}.bias": b for one, b in zip("qkv", biases, strict=True)
        }
    if layer.kind == "norm":
        weight = part["scale"]
    elif layer.kind == "conv":
        weight = part["kernel"].transpose(3, 2, 0, 1)
    elif layer.kind == "shortcut":
        weight = part["kernel"].T[:, :, None, None]
    elif layer.kind == "time":
        weight = _swapped(_shifted(part["kernel"], shape.max_period, 1.0), shape).T
    else:
        weight = part["kernel"].T
    return {f"{name}.weight": weight, f"{name}.bias": part["bias"]}


def _swapped(kernel: Array, shape: Shape) -> Array:
    """The rows with sines and cosines in the other order, if the tensors have the cosines first."""
    return np.roll(kernel, len(kernel) // 2, axis=0) if shape.cosines_first else kernel


def _shifted(kernel: Float[np.ndarray, "F E"], max_period: float, steps: float) -> Array:
    """The kernel that gives for the embedding of t what `kernel` gives for that of t + `steps`.

    sin(w (t + s)) and cos(w (t + s)) are linear in sin(w t) and cos(w t).
    """
    half = len(kernel) // 2
    angle = steps * max_period ** -(np.arange(half) / (half - 1))
    sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
    sines, cosines = np.float64(kernel[:half]), np.float64(kernel[half:])
    # k sin(wt + a) + l cos(wt + a) = (k cos a - l sin a) sin wt + (k sin a + l cos a) cos wt.
    shifted = [sines * cosine - cosines * sine, sines * sine + cosines * cosine]
    return np.concatenate(shifted).astype(np.float32)
