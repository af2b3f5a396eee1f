"""The site: no warning, no broken link, no page left out; and its commands are those of the code."""

import html.parser
import os
import pathlib
import re
import runpy
import subprocess
import sys
import urllib.parse

import pytest

from configs import default
from ddpm_jax import config_files, rundir, view
from ddpm_jax.assembly import denoising
from ddpm_jax.diffusion import schedules

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted(path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".ipynb"))
FIELDS = runpy.run_path(str(ROOT / "docs/fields.py"))
KNOWN = {name for name, _ in view.leaves(default.get_config())}


def entries():
    return FIELDS["entries"]((ROOT / "configs/default.py").read_text())


def test_the_page_of_fields_has_all_of_them_with_their_values():
    found = {name: value for entry in entries() for name, value in entry.defaults.items() if value}
    config = dict(view.leaves(default.get_config()))
    assert found.keys() == config.keys()
    assert {name: eval(value) for name, value in found.items()} == config


def test_a_field_has_the_comment_above_it():
    """By hand, from configs/default.py."""
    by_name = {name: entry.comment for entry in entries() for name in entry.defaults}
    assert by_name["schedule.beta_start"] == by_name["schedule.beta_end"]
    assert by_name["schedule.beta_end"] == 'First and last beta of "linear" and "sigmoid_beta".'
    assert by_name["data.classes"].endswith("relabelled 0.. in this order; empty: all.")
    assert by_name["augment"].startswith("Augmentation of the generator's training images")
    shown = FIELDS["markdown"]((ROOT / "configs/default.py").read_text())
    assert "First and last beta of ``linear`` and ``sigmoid_beta``." in shown
    assert "\n## sampling\n" in shown and "\n### net.unet\n" in shown


@pytest.mark.parametrize(
    ("field", "known"),
    [
        ("sampling.solver", denoising.SOLVERS),
        ("schedule.name", denoising.SCHEDULES),
        ("sampling.spacing", schedules.SPACINGS),
    ],
)
def test_the_page_on_sampling_has_a_row_for_each_choice(field, known):
    table = (ROOT / "docs/sampling.md").read_text().partition(f"\n| `{field}` |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(known)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_name_what_there_is(path):
    text = path.read_text()
    fields = set(re.findall(r"--config\.([a-z_][\w.]*)", text))
    assert {name for name in fields if not name.startswith("data.groups.")} <= KNOWN
    modes = set(re.findall(r"--mode=([a-z_]+)", text))
    assert modes <= {"all", *rundir.CHAIN, *rundir.OTHERS}
    named = re.findall(r"(?<!/)\b(?:configs|launch|tests|benchmarks)/[\w./]*\.\w+", text)
    assert not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    short = re.findall(r"--config=([a-z]\w*)(?=[\s`]|$)", text)
    assert all(config_files.find(name) for name in short)


class Page(html.parser.HTMLParser):
    """The links of a page, and what they can lead to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id":
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as CI builds it, without the notebooks' results."""
    for name in ("sphinx", "myst_nb", "sphinx_book_theme"):
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    names = ("DDPM_JAX_NOTEBOOKS", "DDPM_JAX_REPOSITORY")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"),
            *("-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "html")),
        ],
        env={name: value for name, value in os.environ.items() if name not in names},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_every_page_is_there_and_can_be_reached(site):
    """From the first page's list of pages alone; a warning of the build would be an error."""
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in SOURCES}
    assert not [page for page in wanted if not (site / page).exists()]
    reached = {link.partition("#")[0] for link in Page(site / "index.html").links}
    assert not {str(page) for page in wanted} - {"index.html"} - reached


@pytest.mark.slow
def test_local_links_lead_to_pages_and_anchors(site):
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = {path: Page(path) for path in found}
    assert len(pages) > 30
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / urllib.parse.unquote(parts.path) if parts.path else path
            target = target.resolve()
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (anchor and anchor not in pages[target].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


@pytest.mark.slow
def test_fields_and_functions_are_on_their_pages(site):
    anchors = Page(site / "reference/config.html").anchors
    assert not [name for name in KNOWN if f"confval-{name}" not in anchors]
    python = Page(site / "reference/python.html").anchors
    assert {
        f"ddpm_jax.{name}" for name in ("load", "train", "worth", "get_config", "grid")
    } <= python
    assert "ddpm_jax.Model.sample" in python
    diffusion = Page(site / "reference/diffusion.html").anchors
    for path in (ROOT / "ddpm_jax/diffusion").glob("[a-z]*.py"):
        assert f"module-ddpm_jax.diffusion.{path.stem}" in diffusion
