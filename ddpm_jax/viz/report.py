"""One HTML page about a run: prose, numbers, tables and pictures in a single file.

The page needs no script and no network: pictures are embedded, and its own security policy forbids
loading anything. It can be mailed, archived, or opened on a phone.
"""

import base64
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from PIL import Image as Pillow

MEDIA_TYPES = {"PNG": "image/png", "GIF": "image/gif", "JPEG": "image/jpeg"}
KINDS = ("plain", "highlight", "warning", "answer")
# How a right-aligned cell begins, and what stands for a missing number.
NUMBER = re.compile("[<>~]? ?[-+\N{MINUS SIGN}]?[.]?[0-9]")
NO_NUMBER = ("", "-", "\N{EN DASH}", "\N{EM DASH}")


class Prose(NamedTuple):
    """Paragraphs, with an empty line between them; a `highlight` or a `warning` stands in a box.

    Of an `answer`, also in a box, the first paragraph is the question.
    """

    text: str
    kind: str = "plain"


class Values(NamedTuple):
    """Names and their values. With a `summary`, it is provenance, folded until it is opened."""

    pairs: Mapping[str, str]
    summary: str = ""


class Number(NamedTuple):
    value: str
    what: str
    beside: str = ""
    """What to compare it with."""


class Numbers(NamedTuple):
    """Numbers in large figures."""

    numbers: Sequence[Number]


class Table(NamedTuple):
    """The first cell of each row names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


class Image(NamedTuple):
    """A PNG, GIF or JPEG; `alt` says what a reader who cannot see it needs to know."""

    path: str | Path
    alt: str
    caption: str = ""


class Gallery(NamedTuple):
    """Images, side by side if the page is wide enough, and `text` at the left of them."""

    images: Sequence[Image]
    text: str = ""


Item = Prose | Values | Numbers | Table | Gallery


class Section(NamedTuple):
    title: str
    items: Sequence[Item]


def write(path: str | Path, title: str, sections: Sequence[Section], *, lead: str = "") -> None:
    """Write the page; `lead` is the sentence under the title."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["unbroken"] = unbroken
    template = importlib.resources.files("ddpm_jax.viz").joinpath("report.html.j2")
    page = environment.from_string(template.read_text("utf-8")).render(
        title=title,
        lead=lead,
        sections=[
            {
                "id": f"section-{i}",
                "title": section.title,
                "items": [_prepared(item) for item in section.items],
            }
            for i, section in enumerate(sections, 1)
        ],
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(page, "utf-8")


def unbroken(text: str) -> str:
    """A number and its interval stand on one line, and so does a percentage."""
    return re.sub(
        "(?<=[0-9]) (?=%)|(?<=[0-9]) ± ", lambda found: found[0].replace(" ", "\u00a0"), text
    )


def _prepared(item: Item) -> dict:
    """What the template needs to know about an item, with the name of its type."""
    known = {"type": type(item).__name__, **item._asdict()}
    if isinstance(item, Prose):
        if item.kind not in KINDS:
            raise ValueError(f"prose of kind {item.kind!r}, wanted one of {KINDS}")
        known["paragraphs"] = [part for part in re.split(r"\n\s*\n", item.text) if part.strip()]
    elif isinstance(item, Table):
        for row in item.rows:
            if len(row) != len(item.columns):
                raise ValueError(f"row {list(row)} has {len(row)} cells, not {len(item.columns)}")
        known["numeric"] = [
            bool(cells) and all(cell in NO_NUMBER or NUMBER.match(cell) for cell in cells)
            for cells in ([row[i] for row in item.rows] for i in range(len(item.columns)))
        ]
    elif isinstance(item, Gallery):
        known["images"] = [_embedded(image) for image in item.images]
    return known


def _embedded(image: Image) -> dict:
    if not image.alt:
        raise ValueError(f"{image.path} has no alt text")
    with Pillow.open(image.path) as picture:
        if picture.format not in MEDIA_TYPES:
            raise ValueError(f"{image.path} is {picture.format}, wanted one of {[*MEDIA_TYPES]}")
        media_type = MEDIA_TYPES[picture.format]
        # A plot records its resolution (dpi); a picture made of pixels is shown as it is.
        scale = 96 / picture.info.get("dpi", (96, 96))[0]
        size = [round(side * scale) for side in picture.size]
        kind = "plot" if "dpi" in picture.info else "pixels"
    content = base64.b64encode(Path(image.path).read_bytes()).decode("ascii")
    source = f"data:{media_type};base64,{content}"
    return {**image._asdict(), "source": source, "width": size[0], "height": size[1], "kind": kind}
