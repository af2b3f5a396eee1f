"""Print the path of the newest Python that is installed besides the one that runs this, or nothing.

    .venv/bin/python launch/newest_python.py

Looks in pyenv's folder and on PATH, for the versions that pyproject.toml names and that are newer
than this one.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def main() -> None:
    named = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', pyproject())
    for minor in sorted(map(int, named), reverse=True):
        if (3, minor) <= sys.version_info[:2]:
            return
        for path in candidates(minor):
            if version(path) == (3, minor):
                print(path)
                return


def pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()


def candidates(minor: int) -> list[str]:
    """The latest of pyenv first."""
    folder = pathlib.Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    kept = sorted(
        folder.glob(f"3.{minor}.*/bin/python"), key=lambda path: patch(path.parts[-3]), reverse=True
    )
    on_path = shutil.which(f"python3.{minor}")
    return [*map(str, kept), *([on_path] if on_path else [])]


def patch(name: str) -> int:
    """The last number: 2 for 3.13.2. A name that is no release comes before all of them."""
    found = re.fullmatch(r"3\.\d+\.(\d+)", name)
    return int(found[1]) if found else -1


def version(path: str) -> tuple[int, ...] | None:
    """None where it does not run: pyenv's shims are there for versions that are not."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


if __name__ == "__main__":
    main()
