import io

import numpy as np
import pytest
from PIL import Image

from ddpm_jax.data import image_file

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_color_comes_back_exactly(kind):
    read = image_file.read(encode(Image.fromarray(PIXELS), kind), "x")
    np.testing.assert_array_equal(read, PIXELS)


def test_gray_and_bilevel_have_one_channel():
    gray = PIXELS[..., 0]
    read = image_file.read(encode(Image.fromarray(gray)), "x")
    np.testing.assert_array_equal(read, gray[..., None])
    bits = Image.fromarray(gray > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(
        image_file.read(encode(bits), "x"), np.where(gray > 127, 255, 0)[..., None]
    )


def test_a_palette_is_looked_up():
    palette = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(
        image_file.read(encode(palette), "x"), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("gray", [False, True])
def test_what_is_transparent_lies_over_white(gray):
    """By hand: alpha 0 shows white, 255 the pixel, 51 = 1/5 of black over white is 204."""
    alpha = np.array([[0, 255, 51]], np.uint8)
    channels = 1 if gray else 3
    pixels = np.zeros((1, 3, channels), np.uint8)
    image = Image.fromarray(
        np.concatenate([pixels, alpha[..., None]], -1), "LA" if gray else "RGBA"
    )
    expected = np.array([255, 0, 204])[None, :, None] * np.ones(3)
    np.testing.assert_array_equal(image_file.read(encode(image), "x"), expected)


def test_a_photo_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned by 90 degrees clockwise
    read = image_file.read(encode(Image.fromarray(PIXELS), exif=exif), "x")
    np.testing.assert_array_equal(read, np.rot90(PIXELS, -1))
