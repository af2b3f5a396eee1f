"""The files of a run: where each one lies, and how results are written.

Everything is written under a temporary name and then renamed, so nobody sees half a file.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ddpm_jax.whole_file import replacing

CHAIN = ("train", "sample", "export", "evaluate", "classify", "compare", "report")
"""The modes of --mode=all, in order."""
OTHERS = (
    "plan",
    "worth",
    "own",
    "copies",
    "publish",
    "denoise",
    "interpolate",
    "inpaint",
    "reconstruct",
    "analyze",
    "sweep",
    "train_guide",
    "replay",
    "import",
    "export_weights",
    "serve",
)
"""The other modes."""
MODULES = {"import": "import_weights"}
"""Modes whose module in `jobs/` has another name."""
VERSIONS_OF = ("ddpm_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")


class Inapplicable(ValueError):
    """A stage does not apply to the results of earlier stages; the chain skips it."""


def job(mode: str) -> str:
    """Name of the module that a mode runs."""
    return f"ddpm_jax.jobs.{MODULES.get(mode, mode)}"


def checkpoints(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "checkpoints"


def figures(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "figures"


def nonfinite(workdir: pathlib.Path) -> pathlib.Path:
    """Where a step that was not finite is kept, for --mode=replay."""
    return workdir / "nonfinite"


def synthetic(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "synthetic.npz"


def published(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "published"


def result_path(workdir: pathlib.Path, mode: str) -> pathlib.Path:
    return workdir / "results" / f"{mode}.json"


def write_json(path: pathlib.Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=as_json) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Raises ValueError naming the file when it is not JSON."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); remove it to make it again"
        ) from error


def plain(value: Any) -> Any:
    """`value` as it comes back from a JSON file."""
    return json.loads(json.dumps(value, default=as_json))


def digest(content: Any) -> str:
    """SHA-256 of the content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, default=as_json)
    return hashlib.sha256(text.encode()).hexdigest()


def write_config(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
    """`config.json`: the config of the last stage that trained or sampled, and what it ran on."""
    write_json(
        workdir / "config.json",
        {
            "config": config,
            "seed": config["seed"],
            "versions": versions(),
            "git_revision": git_revision(),
            "command": command(),
        },
    )


def result(workdir: pathlib.Path, mode: str) -> dict[str, Any]:
    """The result of an earlier stage; raises FileNotFoundError naming the command that makes it."""
    path = result_path(workdir, mode)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run --mode={mode} with this --workdir first")
    return read_json(path)


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in VERSIONS_OF:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_revision() -> str | None:
    """The git commit of this program; None outside a git checkout of it, as in another project's `.venv`."""
    here = pathlib.Path(__file__)

    def git(*words: str) -> str:
        command = ["git", *words]
        return subprocess.run(
            command, cwd=here.parent, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40") or None
    except (OSError, subprocess.SubprocessError):
        return None


def command() -> str:
    """The command line of this program, in a form that can be typed again."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"python -m {module.name}" if module else pathlib.Path(sys.argv[0]).name
    return f"{program} {shlex.join(sys.argv[1:])}".rstrip()


def as_json(value: Any) -> Any:
    """NumPy scalars, arrays and paths as types that JSON has."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, pathlib.PurePath):
        return str(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON has no form for")
