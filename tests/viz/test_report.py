"""The page is read back with an HTML parser, and opened in a browser where there is one."""

import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest

from ddpm_jax.viz import pictures, plots, report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
def sections(tmp_path):
    frames = [pictures.grid(np.full((4, 8, 8, 1), v, np.uint8)) for v in (0, 90, 180)]
    pictures.save(tmp_path / "grid.png", frames[2])
    pictures.gif(tmp_path / "reverse.gif", frames)
    plots.save(tmp_path / "arms.png", plots.arms({"real": (0.98, 0.01), "synthetic": (0.9, 0.02)}))
    return [
        report.Section(
            "What it is worth",
            [
                report.Prose("Synthetic only: 90 ± 2 %.", "highlight"),
                report.Prose("Should I?\n\nYes.", "answer"),
                report.Numbers([report.Number("+1.0 ± 0.5", "points", "floor: 0.2")]),
                report.Prose("It <b>copies</b> & more.", "warning"),
                report.Prose("First paragraph.\n\nSecond paragraph."),
                report.Table(
                    ["arm", "accuracy (%)", "note"],
                    [
                        ["real", "98.0 ± 1.0", "-"],
                        ["synthetic", "\N{MINUS SIGN}8.0 ± 2.0", "a " * 40],
                    ],
                    "Accuracy on real test images",
                ),
            ],
        ),
        report.Section(
            "Samples",
            [
                report.Gallery(
                    [report.Image(tmp_path / "grid.png", 'Four "gray" squares', "Grid")],
                    "Beside it.",
                ),
                report.Gallery(
                    [
                        report.Image(tmp_path / "reverse.gif", "Squares turning lighter"),
                        report.Image(tmp_path / "arms.png", "Accuracy of two arms"),
                    ]
                ),
            ],
        ),
        report.Section(
            "Made how",
            [
                report.Values({"seed": "0"}),
                report.Values({"command": "python -m " + "x" * 200}, "How this was made"),
            ],
        ),
    ]


@pytest.fixture
def page(sections, tmp_path):
    report.write(tmp_path / "new" / "report.html", "A <run>", sections, lead="In one sentence.")
    return tmp_path / "new" / "report.html"


class Parser(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_says_everything_and_takes_no_text_for_markup(page):
    parsed = Parser(page)
    assert "Synthetic only: 90\u00a0±\u00a02\u00a0%." in parsed.text
    for text in ("A <run>", "In one sentence.", "It <b>copies</b> & more.", "Second paragraph."):
        assert text in parsed.text
    for text in ("Should I?", "+1.0\u00a0±\u00a00.5", "points", "floor: 0.2"):
        assert text in parsed.text
    assert not parsed.all("b")
    assert [attributes["href"] for attributes in parsed.all("a")] == [
        f"#{attributes['id']}" for attributes in parsed.all("h2")
    ]


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Parser(page)
    used = {tag for tag, _ in parsed.tags}
    assert not used & {"script", "link", "iframe", "object", "embed", "video"}
    for attributes in parsed.all("img"):
        assert attributes["src"].startswith("data:image/")
    assert "http" not in re.sub(r'src="[^"]*"', "", page.read_text()).replace("http-equiv", "")
    assert "default-src 'none'" in parsed.all("meta")[1]["content"]


def test_pictures_have_alt_texts_and_plots_their_size_on_the_screen(page):
    images = Parser(page).all("img")
    assert [image["alt"] for image in images] == [
        'Four "gray" squares', "Squares turning lighter", "Accuracy of two arms"
    ]  # fmt: skip
    # Pictures pixel by pixel; plots, drawn at 144 dots an inch, at 96.
    assert [image["class"] for image in images] == ["pixels", "pixels", "plot"]
    assert [image["width"] for image in images] == ["146", "146", "633"]


def test_numbers_stand_to_the_right_and_words_to_the_left(page):
    right = [attributes.get("class") for attributes in Parser(page).all("td")]
    assert right == ["number", None, "number", None]


def test_what_cannot_be_shown_is_refused(tmp_path, sections):
    def write(item):
        report.write(tmp_path / "x.html", "x", [report.Section("x", [item])])

    with pytest.raises(ValueError, match="kind 'loud', wanted one of"):
        write(report.Prose("x", "loud"))
    with pytest.raises(ValueError, match="has 1 cells, not 2"):
        write(report.Table(["a", "b"], [["1"]]))
    with pytest.raises(ValueError, match="no alt text"):
        write(report.Gallery([report.Image(tmp_path / "grid.png", "")]))
    with pytest.raises(FileNotFoundError):
        write(report.Gallery([report.Image(tmp_path / "absent.png", "absent")]))
    pictures.save(tmp_path / "grid.bmp", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="is BMP, wanted one of"):
        write(report.Gallery([report.Image(tmp_path / "grid.bmp", "a grid")]))


PROBE = """<script>
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), inside = frame.contentDocument;
  const images = [...inside.images];
  document.title = JSON.stringify({
    decoded: images.filter(image => image.complete && image.naturalWidth > 0).length,
    images: images.length,
    overflow: inside.documentElement.scrollWidth - inside.documentElement.clientWidth,
  });
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors_at_phone_and_desktop_width(page, tmp_path, width):
    # The page goes into a frame of the wanted width: a window cannot be made as narrow as a phone.
    frame = f'<iframe src="report.html" style="border:0;width:{width}px;height:900px"></iframe>'
    probe = page.with_name("probe.html")
    probe.write_text(f"<!DOCTYPE html><title>unset</title>{frame}{PROBE}", "utf-8")
    browser = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
            "--allow-file-access-from-files", "--enable-logging=stderr", "--window-size=1400,1000",
            "--timeout=20000", "--dump-dom", probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in browser.stderr
    shown = re.search(r"<title>(.*?)</title>", browser.stdout).group(1)
    assert shown == '{"decoded":3,"images":3,"overflow":0}'
