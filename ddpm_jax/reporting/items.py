"""Building blocks of a page: pictures that may be missing, and numbers with their intervals as text."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ddpm_jax.viz import report

Fields = Mapping[str, Any]
Items = list[report.Item]


def picture(path: pathlib.Path, alt: str, caption: str = "", text: str = "") -> Items:
    """The picture, with `text` beside it; the text alone if the file does not exist."""
    if path.exists():
        return [report.Gallery([report.Image(path, alt, caption)], text)]
    return [report.Prose(text)] if text else []


def pictures(*images: tuple[pathlib.Path, str, str]) -> Items:
    there = [report.Image(*image) for image in images if image[0].exists()]
    return [report.Gallery(there)] if there else []


def percent_text(mean: float, half_width: float, sign: str = "±") -> str:
    return f"{100 * mean:.1f} {sign} {100 * half_width:.1f}"


def points_text(mean: float, half_width: float, sign: str = "±") -> str:
    """A difference in percentage points, with its own sign."""
    return f"{100 * mean:+.1f} {sign} {100 * half_width:.1f}"
