"""A folder of small RGB pictures, without a network: the emoji of Debian's font, in a sub-folder per group.

    apt-get install fonts-noto-color-emoji unicode-data
    python -m launch.emoji_folder FOLDER

The groups are those of Unicode's list: animals, food, travel and so on. Emoji that one code point gives are
drawn at 64x64 on white; flags, families and tones of skin, which take several, are left out.
"""

import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

FONT = pathlib.Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
LIST = pathlib.Path("/usr/share/unicode/emoji/emoji-test.txt")
BITMAPS = 109
"""The one size, in pixels an em, at which the font has bitmaps; they are 136 x 128."""
VARIATION = "\ufe0f"
FEWEST = 50
"""A group of fewer pictures is left out: of the flags, five take one code point."""


def groups(text: str) -> dict[str, list[str]]:
    """The emoji of one code point in each group of a list like `emoji-test.txt`."""
    found: dict[str, list[str]] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("# group:"):
            group = line.partition(":")[2].strip().lower().replace(" & ", "_and_")
        elif "; fully-qualified" in line:
            points = [chr(int(point, 16)) for point in line.partition(";")[0].split()]
            symbol = "".join(points).removesuffix(VARIATION)
            if len(symbol) == 1:
                found.setdefault(group, []).append(symbol)
    return found


def picture(symbol: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """`symbol` on white; None if the font lacks it."""
    canvas = Image.new("RGBA", (136, 136), "white")
    ImageDraw.Draw(canvas).text((0, 4), symbol, font=font, embedded_color=True, anchor="lt")
    image = canvas.convert("RGB")
    if image.getcolors(maxcolors=3) is not None:  # nothing, or the box of a missing character
        return None
    return image.resize((64, 64), Image.Resampling.LANCZOS)


def main(folder: pathlib.Path) -> None:
    missing = [str(path) for path in (FONT, LIST) if not path.exists()]
    if missing:
        raise SystemExit(
            f"wanted {' and '.join(missing)}; got no such file: install the packages that --help names"
        )
    font = ImageFont.truetype(FONT, BITMAPS)
    for group, symbols in groups(LIST.read_text()).items():
        drawn = [(symbol, picture(symbol, font)) for symbol in symbols]
        kept = [(symbol, image) for symbol, image in drawn if image is not None]
        if len(kept) < FEWEST:
            continue
        (folder / group).mkdir(parents=True, exist_ok=True)
        for symbol, image in kept:
            image.save(folder / group / f"{ord(symbol):05x}.png")
        print(f"{group}: {len(kept)} pictures, {len(drawn) - len(kept)} that the font lacks")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    main(pathlib.Path(sys.argv[1]))
