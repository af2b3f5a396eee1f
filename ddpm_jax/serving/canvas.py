"""The image that a person draws on, to and from what Gradio's editor holds."""

from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import Bool, UInt8

SIDE = 320
"""Of the image to draw on, in pixels of the screen."""


def enlarged(image: UInt8[np.ndarray, "h w C"]) -> UInt8[np.ndarray, "H W 3"]:
    """RGB, its pixels as squares that can be seen and drawn on."""
    factor = max(1, SIDE // len(image))
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    return rgb.repeat(factor, axis=0).repeat(factor, axis=1)


def background(real: dict[str, Any] | None) -> UInt8[np.ndarray, "h w 3"] | None:
    """The image without what is drawn on it, as RGB."""
    found = real["background"] if real else None
    if found is None:
        return None
    layer = PIL.Image.fromarray(found).convert("RGBA")
    white = PIL.Image.new("RGBA", layer.size, "white")
    return np.asarray(PIL.Image.alpha_composite(white, layer).convert("RGB"))


def drawn(real: dict[str, Any] | None) -> Bool[np.ndarray, "h w"]:
    """Where something is drawn on the image."""
    layers = real["layers"] if real else []
    if not layers:
        return np.zeros((1, 1), bool)
    return np.any([layer[..., 3] > 0 for layer in layers], axis=0)
