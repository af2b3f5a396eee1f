"""The notebooks: their form and their text; slow: they run. The site's build runs them too."""

import ast
import os
import pathlib
import statistics
import sys

import pytest

from launch import readability

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("docs/tutorials/*.ipynb"))
PUBLIC = {"ddpm_jax", "ddpm_jax.diffusion"}
OTHERS = sys.stdlib_module_names | {"IPython", "jax", "matplotlib", "numpy"}
SECONDS = 900
"""What a cell may take where the processor is shared. All four took 5 minutes on two cores of an AMD EPYC."""

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def nbformat():
    return pytest.importorskip("nbformat", reason="the extra `docs` is not installed")


def cells(nbformat, path, kind):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def modules(code):
    """The modules that are imported; of `ddpm_jax` itself no further name is one."""
    python = "\n".join(line for line in code.splitlines() if not line.startswith(("!", "%")))
    for node in ast.walk(ast.parse(python)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def is_public(module):
    return module in PUBLIC or module == "sklearn.datasets" or module.partition(".")[0] in OTHERS


def test_there_are_four():
    assert {path.stem for path in NOTEBOOKS} == {"gaussian", "own_photos", "sampling", "worth"}


@by_notebook
def test_a_notebook_is_valid_and_holds_no_outputs(nbformat, path):
    book = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    for cell in cells(nbformat, path, "code"):
        assert cell.outputs == [] and cell.execution_count is None


@by_notebook
def test_a_notebook_imports_the_public_interface_alone(nbformat, path):
    code = [cell.source for cell in cells(nbformat, path, "code")]
    assert not [name for text in code for name in modules(text) if not is_public(name)]


def test_internals_are_not_public():
    found = list(modules("from ddpm_jax.models import trained\nimport ddpm_jax\n!ddpm-jax"))
    assert found == ["ddpm_jax.models", "ddpm_jax"]
    assert [is_public(name) for name in found] == [False, True]


@by_notebook
def test_the_text_can_be_read_once(nbformat, path):
    text = "\n\n".join(cell.source for cell in cells(nbformat, path, "markdown"))
    lengths = [readability.num_words(one) for one in readability.sentences(text)]
    assert max(lengths) <= 35 and statistics.median(lengths) <= 16
    assert text.startswith("# ") and "You learn " in text.split("\n\n")[1]
    assert "\n## Where to read on\n" in text


@by_notebook
def test_what_a_notebook_links_to_is_there(nbformat, path):
    text = "\n".join(cell.source for cell in cells(nbformat, path, "markdown"))
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert links
    assert not [link for link in links if not (path.parent / link).exists()]


def test_two_notebooks_share_a_training(nbformat):
    """Of another training in the same folder, the second would be refused."""
    trainings = [
        cell.source
        for name in ("worth", "sampling")
        for cell in cells(nbformat, ROOT / f"docs/tutorials/{name}.ipynb", "code")
        if "ddpm_jax.train(" in cell.source
    ]
    assert len(trainings) == 2 and trainings[0] == trainings[1]


@pytest.mark.long
@pytest.mark.skipif(
    os.environ.get("DDPM_JAX_NOTEBOOKS") == "site", reason="the site's build runs the notebooks"
)
def test_the_notebooks_run(nbformat, tmp_path, monkeypatch):
    """In one folder, so that the second of two that share a training loads it."""
    client = pytest.importorskip("nbclient", reason="the extra `docs` is not installed")
    pytest.importorskip("ipykernel", reason="the extra `docs` is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for path in NOTEBOOKS:
        book = nbformat.read(path, 4)
        resources = {"metadata": {"path": str(tmp_path)}}
        client.NotebookClient(book, timeout=SECONDS, resources=resources).execute()
        pictures = [
            output
            for cell in book.cells
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        assert pictures, path.stem
