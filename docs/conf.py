"""How Sphinx builds the site: `python -m sphinx -W --keep-going -b html docs build/site`.

Two variables of the environment change it. `DDPM_JAX_NOTEBOOKS=site` runs the notebooks, which takes
minutes; without it they are shown as they are kept. `DDPM_JAX_REPOSITORY=URL` names the repository on GitHub:
pages then link to it, and each notebook has a button that opens it in Colab.
"""

import importlib.metadata
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
# What the notebooks start is this checkout's program as well.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH")))
)

import fields  # noqa: E402
import formulas  # noqa: E402
from docutils import nodes  # noqa: E402
from ipython_pygments_lexers import IPython3Lexer  # noqa: E402

project = "ddpm_jax"
author = "The ddpm_jax authors"
project_copyright = author
release = importlib.metadata.version("ddpm_jax")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
# Values in code and prose are to be copied as they are.
smartquotes = False

runs_notebooks = os.environ.get("DDPM_JAX_NOTEBOOKS") == "site"
nb_execution_mode = "force" if runs_notebooks else "off"
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True

# Blocks of no named language are commands and files, not the Python that Sphinx takes them for.
highlight_language = "text"
# Docstrings have code between single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "home_page_in_toc": True,
    "use_download_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
}
if repository := os.environ.get("DDPM_JAX_REPOSITORY"):
    html_theme_options |= {
        "repository_url": repository,
        "repository_provider": "github",
        "repository_branch": "main",
        "path_to_docs": "docs",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def name_jax_arrays(app, doctree):
    """`Array`, as the code says, for the name that JAX's class has inside."""
    for text in list(doctree.findall(nodes.Text)):
        if "jaxlib._jax." in text:
            text.parent.replace(text, nodes.Text(text.replace("jaxlib._jax.", "")))


def setup(app):
    if runs_notebooks or '"output_type"' in "".join(
        notebook.read_text() for notebook in HERE.glob("tutorials/*.ipynb")
    ):
        app.tags.add("with_results")
    if repository:
        app.tags.add("with_repository")
    app.add_lexer("python", IPython3Lexer)  # notebooks start programs with "!"
    renderers = ((formulas.inline, None), (formulas.block, None))
    app.add_html_math_renderer("mathml", *renderers)
    app.connect("doctree-read", name_jax_arrays)
    app.connect("source-read", fields.put_into_page)
