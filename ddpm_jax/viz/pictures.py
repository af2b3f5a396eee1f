"""Pictures made of images: grids, strips, side-by-side columns and animations, with their labels.

Every function returns the picture as uint8 [H, W, 3]; the same array goes to a PNG (`save`), to
TensorBoard, or into a `gif` as a frame. Small images are enlarged by whole factors without smoothing,
so that a person sees the actual pixels.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from ddpm_jax.types import Pixels
from ddpm_jax.whole_file import replacing

Picture = UInt8[np.ndarray, "height width 3"]
Line = Sequence[str]

GAP = 2
PADDING = 8
SMALLEST_SIDE = 64  # of an image on the screen; about 8 mm
NARROWEST = 220  # of a picture with a title
WIDEST = 1600  # beyond this an enlargement helps nobody
INK = (32, 32, 32)
PAPER = (255, 255, 255)


def grid(
    images: Pixels,
    columns: int | None = None,
    *,
    row_labels: Line | None = None,
    column_labels: Line | None = None,
    captions: Line | None = None,
    title: str = "",
) -> Picture:
    """Images in reading order, near-square unless `columns` is given; a caption under each."""
    if len(images) == 0:
        raise ValueError("a grid needs at least one image, got none")
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    missing = rows * columns - len(images)
    if captions is not None:
        if len(captions) != len(images):
            raise ValueError(f"got {len(captions)} captions, wanted {len(images)}")
        captions = [*captions, *[""] * missing]
    cells = _rgb(images)
    blank = np.full((missing, *cells.shape[1:]), 255, np.uint8)
    cells = np.concatenate([cells, blank]).reshape(rows, columns, *cells.shape[1:])
    return _board(cells, row_labels, column_labels, captions, title)


def strip(
    images: UInt8[np.ndarray, "R T H W C"],
    column_labels: Line,
    *,
    row_labels: Line | None = None,
    title: str = "",
) -> Picture:
    """One image per row, followed through the columns: a process at chosen times."""
    rows, columns = images.shape[:2]
    cells = _rgb(images.reshape(rows * columns, *images.shape[2:]))
    return _board(
        cells.reshape(rows, columns, *cells.shape[1:]), row_labels, column_labels, None, title
    )


def side_by_side(
    columns: Mapping[str, Pixels], *, row_labels: Line | None = None, title: str = ""
) -> Picture:
    """Image i of each column in row i: original and reconstruction; known, mask, inpainted."""
    cells = np.stack([_rgb(images) for images in columns.values()], axis=1)
    return _board(cells, row_labels, list(columns), None, title)


def save(path: str | Path, picture: Picture) -> None:
    """Write one picture; the ending of `path` chooses the format."""
    kind = Image.registered_extensions()[Path(path).suffix.lower()]
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, kind)


def gif(
    path: str | Path, frames: Sequence[Picture], *, seconds: float = 4.0, hold: float = 1.5
) -> None:
    """An endless animation of `seconds`; its last frame stays for `hold` seconds more."""
    if len({frame.shape for frame in frames}) != 1:
        sizes = sorted({frame.shape for frame in frames})
        raise ValueError(f"frames of a GIF must be of one size, got {sizes}")
    # One adaptive palette per frame, without dithering, which would look like diffusion noise.
    images = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    each = max(20, round(1000 * seconds / len(frames)))  # browsers slow down what is faster
    durations = [each] * (len(frames) - 1) + [each + round(1000 * hold)]
    with replacing(path) as temporary:
        images[0].save(
            temporary, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
        )


def load(path: str | Path) -> Picture:
    """A picture that `save` wrote."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


class _Labels(NamedTuple):
    title: str
    rows: Line
    columns: Line
    captions: Line


class _Layout(NamedTuple):
    """Where things are, in pixels: the first cell at (left, top), the next one a `step` away."""

    image: tuple[int, int]
    pitch: int
    left: int
    top: int
    step: tuple[int, int]
    canvas: tuple[int, int]


def _board(
    cells: UInt8[np.ndarray, "R C H W 3"],
    row_labels: Line | None,
    column_labels: Line | None,
    captions: Line | None,
    title: str,
) -> Picture:
    rows, columns, height, width, _ = cells.shape
    for what, texts, wanted in [
        ("row labels", row_labels, rows),
        ("column labels", column_labels, columns),
    ]:
        if texts is not None and len(texts) != wanted:
            raise ValueError(f"got {len(texts)} {what}, wanted {wanted}")
    labels = _Labels(title, row_labels or [], column_labels or [], captions or [])
    scale = _enlargement(height, width, columns)
    labels, at = _arrange(rows, columns, (width * scale, height * scale), labels)
    canvas = Image.new("RGB", at.canvas, PAPER)
    for row in range(rows):
        for column in range(columns):
            x = at.left + column * at.step[0] + (at.pitch - at.image[0]) // 2
            tile = Image.fromarray(cells[row, column]).resize(at.image, Image.Resampling.NEAREST)
            canvas.paste(tile, (x, at.top + row * at.step[1]))
    _draw_labels(ImageDraw.Draw(canvas), labels, at, columns)
    return np.asarray(canvas)


def _arrange(
    rows: int, columns: int, image: tuple[int, int], labels: _Labels
) -> tuple[_Labels, _Layout]:
    """Break the texts into lines that fit, and place everything."""
    words = [word for text in [*labels.columns, *labels.captions] for word in text.split()]
    pitch = max([image[0], *(_size(word)[0] + 6 for word in words)])
    left = PADDING + max([0, *(_size(text)[0] + PADDING for text in labels.rows)])
    width = max(left + columns * (pitch + GAP) - GAP + PADDING, NARROWEST * bool(labels.title))
    labels = _Labels(
        _wrap(labels.title, width - 2 * PADDING),
        labels.rows,
        [_wrap(text, pitch - 4) for text in labels.columns],
        [_wrap(text, pitch - 4) for text in labels.captions],
    )
    top = PADDING + max([0, *(_size(text)[1] + PADDING for text in labels.columns)])
    if labels.title:
        top += _size(labels.title)[1] + PADDING
    below = max([0, *(_size(text)[1] + PADDING for text in labels.captions)])
    step = (pitch + GAP, image[1] + below + GAP)
    canvas = (width, top + rows * step[1] - GAP + PADDING)
    return labels, _Layout(image, pitch, left, top, step, canvas)


def _draw_labels(draw: ImageDraw.ImageDraw, labels: _Labels, at: _Layout, columns: int) -> None:
    def write(x: float, y: float, text: str, anchor: str) -> None:
        align = {"l": "left", "m": "center", "r": "right"}[anchor[0]]
        draw.text((x, y), text, INK, _font(), anchor=anchor, align=align)

    middle = at.left + at.pitch / 2
    write(PADDING, PADDING, labels.title, "la")
    for column, text in enumerate(labels.columns):
        write(middle + column * at.step[0], at.top - PADDING / 2, text, "md")
    for row, text in enumerate(labels.rows):
        write(at.left - PADDING, at.top + row * at.step[1] + at.image[1] / 2, text, "rm")
    for i, text in enumerate(labels.captions):
        row, column = divmod(i, columns)
        y = at.top + row * at.step[1] + at.image[1] + 3
        write(middle + column * at.step[0], y, text, "ma")


def _rgb(images: np.ndarray) -> UInt8[np.ndarray, "N H W 3"]:
    # Checked, not only annotated: a float image would silently become a black picture.
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}, wanted uint8 (see pixels.to_uint8)")
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images have {images.shape[-1]} channels, wanted 1 or 3")
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:-1], 3)))


def _enlargement(height: int, width: int, columns: int) -> int:
    wanted = -(-SMALLEST_SIDE // min(height, width))
    return max(1, min(wanted, WIDEST // (columns * width)))


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # Matplotlib brings DejaVu Sans, so that labels look the same on every machine and know Greek.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)


def _size(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    ruler = ImageDraw.Draw(Image.new("1", (1, 1)))
    _, _, right, bottom = ruler.textbbox((0, 0), text, _font())
    return int(np.ceil(right)), int(np.ceil(bottom))


def _wrap(text: str, width: int) -> str:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _size(longer)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
