import io
import struct
import tracemalloc
import zlib

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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claimed(width, height):
    """A PNG whose header claims a size, with next to nothing behind it."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + data


PNG = encode(Image.fromarray(PIXELS))


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", r"^cat/1\.png: 0 bytes that are no image \(PNG, JPEG, "),
        (b"not an image", r"^cat/1\.png: 12 bytes that are no image"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            r"^cat/1\.png: 47 bytes that are no",
        ),
        (PNG[: len(PNG) // 2], r"^cat/1\.png: "),
        (PNG[:-40], r"^cat/1\.png: "),
        (claimed(8192, 8193), r"^cat/1\.png: 8192 x 8193 pixels; at most 67108864 are read"),
        (claimed(10_000, 10_000), r"^cat/1\.png: "),  # above Pillow's own limit, a warning
        (claimed(2**31 - 1, 2**31 - 1), r"^cat/1\.png: "),  # and an error
        (claimed(64, 64), r"^cat/1\.png: "),
        (encode(Image.fromarray(PIXELS[..., 0].astype(np.uint16))), r"8 bits .*I;16.*; wanted 8"),
        (encode(Image.fromarray(PIXELS[..., 0].astype(np.float32)), "TIFF"), r"8 bits .*mode F"),
        (encode(Image.fromarray(PIXELS[..., 0].astype(np.int32)), "TIFF"), r"8 bits .*mode I\)"),
    ],
)
def test_what_is_no_readable_image_is_named(encoded, message):
    with pytest.raises(ValueError, match=message) as caught:
        image_file.read(encoded, "cat/1.png")
    assert "\n" not in str(caught.value)


def test_a_bomb_is_not_unpacked():
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="pixels"):
            image_file.read(claimed(9000, 9000), "x")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(np.unique(image_file.read(gif, "x")), [10])


def test_print_colors_become_rgb():
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    read = image_file.read(encode(cmyk, "TIFF"), "x")
    np.testing.assert_array_equal(read, np.asarray(cmyk.convert("RGB")))
