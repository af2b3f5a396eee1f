"""One encoded image (PNG, JPEG, ...) -> uint8 [h, w, c], upright, gray or RGB."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps


def read(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w c"]:
    """Gray images have c = 1, all others 3; what is transparent lies over white.

    `name` stands in the messages.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    gray = upright.mode in ("1", "L")
    pixels = np.asarray(upright.convert("L" if gray else "RGB"))
    return pixels[:, :, None] if gray else pixels
