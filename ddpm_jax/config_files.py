"""Config files: those that come with the program, by name and as the package `configs`, and new ones."""

import os
import pathlib
import runpy
import sys
import types
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import view
from ddpm_jax.whole_file import replacing

HERE = pathlib.Path(__file__).parent
# In an installed package they lie beside this file, in a checkout beside the package.
FOLDER = next(path for path in (HERE / "configs", HERE.parent / "configs") if path.is_dir())


def load(path: str | pathlib.Path) -> ConfigDict:
    """What `get_config()` of the file returns."""
    let_be_imported()
    config: ConfigDict = runpy.run_path(str(path))["get_config"]()
    return config


def find(name: str) -> pathlib.Path | None:
    """The file that comes with the program under this name, such as "digits"; None if there is none."""
    path = FOLDER / f"{name}.py"
    return path if name and os.path.isfile(path) else None


def names() -> list[str]:
    """Those of the files that are not in a folder of their own."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def get_config(name: str = "default") -> ConfigDict:
    """The config that comes with the program under this name, such as "digits".

    Raises ValueError if there is none.
    """
    path = find(name)
    if path is None:
        raise ValueError(f"there is no config {name!r}; the program has {', '.join(names())}")
    return load(path)


def write(path: pathlib.Path, about: str, fields: Mapping[str, Any]) -> None:
    """A config file with those of the fields, by dotted name, that differ from the defaults."""
    default = dict(view.leaves(get_config()))
    lines = [
        f"    config.{name} = {value!r}" for name, value in fields.items() if default[name] != value
    ]
    with replacing(path) as temporary:
        temporary.write_text(
            f'"""{about}"""\n\n'
            "from configs import default\n\n\n"
            "def get_config():\n    config = default.get_config()\n"
            + "\n".join(lines)
            + "\n    return config\n"
        )


def let_be_imported() -> None:
    """`from configs import digits` finds the program's, before those of another folder of that name."""
    module = sys.modules.setdefault("configs", types.ModuleType("configs"))
    others = list(getattr(module, "__path__", ["configs"]))
    if str(FOLDER) not in others:
        module.__path__ = [str(FOLDER), *others]
