"""The page of every config field, from the comments of configs/default.py."""

import ast
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

CONFIGS = pathlib.Path(__file__).parents[1] / "configs/default.py"
PAGE = "reference/config"
PLACE = "<!-- the fields -->"


class Entry(NamedTuple):
    """Fields that share a comment, with their defaults as in the file; a section's default is None."""

    comment: str
    defaults: dict[str, str | None]


def put_into_page(app, docname: str, source: list[str]) -> None:
    """Sphinx's event `source-read`: the page's text with the fields in their place."""
    if docname == PAGE:
        before, found, after = source[0].partition(PLACE)
        if not found:
            raise ValueError(f"{docname} holds no {PLACE}")
        source[0] = before + markdown(CONFIGS.read_text()) + after


def markdown(code: str) -> str:
    """A heading for each section of the config, and the fields below it."""
    found = entries(code)
    names = [name for entry in found for name in entry.defaults]
    return "\n".join(_section(entry, names) or _fields(entry) for entry in found)


def entries(code: str) -> list[Entry]:
    """Sections and fields in the file's order. Fields without a line between them share the comment above."""
    found: list[Entry] = []
    lines = code.splitlines()
    for function in ast.parse(code).body:
        if isinstance(function, ast.FunctionDef):
            prefix = "" if function.name == "get_config" else f"{function.name}."
            found += _of_function(function, lines, prefix)
    return found


def _of_function(function: ast.FunctionDef, lines: list[str], prefix: str) -> Iterator[Entry]:
    end, entry = 0, None
    for assigned in function.body:
        if not isinstance(assigned, ast.Assign):
            continue
        _, _, name = ast.unparse(assigned.targets[0]).partition("config.")
        if isinstance(assigned.value, ast.Call):  # ConfigDict(), or the section of another function
            if entry:
                yield entry
            entry = None
            section = name or prefix.rstrip(".")
            if section and not (name and ast.unparse(assigned.value) == f"{name}()"):
                comment = _comment(lines, assigned.lineno)
                yield Entry(comment, {prefix * bool(name) + section: None})
        elif entry and assigned.lineno == end + 1:
            entry.defaults[prefix + name] = ast.unparse(assigned.value)
        else:
            if entry:
                yield entry
            comment = _comment(lines, assigned.lineno)
            entry = Entry(comment, {prefix + name: ast.unparse(assigned.value)})
        assert assigned.end_lineno is not None
        end = assigned.end_lineno
    if entry:
        yield entry


def _comment(lines: list[str], number: int) -> str:
    """What stands in comments right above the line of this number, the first being 1."""
    above = number - 2
    while lines[above].lstrip().startswith("#"):
        above -= 1
    return " ".join(line.strip().lstrip("# ") for line in lines[above + 1 : number - 1])


def _section(entry: Entry, names: list[str]) -> str:
    """A heading, one deeper for each dot; nothing for fields, and for a section whose fields a user names."""
    (name, default), *_ = entry.defaults.items()
    if default is not None or not any(other.startswith(f"{name}.") for other in names):
        return ""
    return f"\n{'#' * (2 + name.count('.'))} {name}\n\n{_with_code(entry.comment, '`')}\n"


def _fields(entry: Entry) -> str:
    """A block of reStructuredText, since a directive of MyST takes one name only."""
    names = list(entry.defaults)
    default = ", ".join(f"``{value or '{}'}``" for value in entry.defaults.values())
    text = [
        "```{eval-rst}",
        f".. confval:: {names[0]}",
        *(f"             {name}" for name in names[1:]),
        f"   :default: {default}",
        "   :no-contents-entry:",
        "",
        f"   {_with_code(entry.comment, '``')}",
        "```",
        "",
    ]
    return "\n".join(text)


def _with_code(text: str, mark: str) -> str:
    """Quoted values and what is between backticks as code; stars are no emphasis."""
    parts = re.split(r"(`[^`]+`|\"[^\"]+\")", text)
    return "".join(
        f"{mark}{part[1:-1]}{mark}" if part[:1] in ('"', "`") and len(part) > 2 else part
        for part in parts
    ).replace("*", "\\*")
