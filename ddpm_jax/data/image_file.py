"""One encoded image (PNG, JPEG, ...) -> uint8 [h, w, c], upright, gray or RGB."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

# Only these decoders are ever tried: Pillow has more, and one of them starts Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 2**26
"""67 million, 200 MB decoded: above any camera's picture, below what a bomb unpacks to."""
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read(encoded: bytes, name: str) -> UInt8[np.ndarray, "h w c"]:
    """Gray images have c = 1, all others 3; transparent images are composited over white.

    Only an animation's first frame is read. Other data raises a ValueError that begins with `name`.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:  # known from the header; nothing is unpacked yet
                raise ValueError(f"{width} x {height} pixels; at most {MAX_PIXELS} are read")
            if image.mode in DEEP:
                raise ValueError(f"more than 8 bits a pixel (mode {image.mode}); wanted 8")
            image.load()
        return _pixels(image)
    except Image.UnidentifiedImageError as error:
        wanted = ", ".join(FORMATS)
        raise ValueError(f"{name}: {len(encoded)} bytes that are no image ({wanted})") from error
    except Exception as error:  # on a damaged file a decoder may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{name}: {reason}") from error


def _pixels(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    ImageOps.exif_transpose(image, in_place=True)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    gray = image.mode in ("1", "L")
    pixels = np.asarray(image.convert("L" if gray else "RGB"))
    return pixels[:, :, None] if gray else pixels
