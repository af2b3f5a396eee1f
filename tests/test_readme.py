"""The README's example of the library runs and prints what it says."""

import pathlib
import re
import subprocess
import sys

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_the_example_runs_and_prints_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    expected = re.search(r"print\(.*\)\s+# (.*)", code).group(1).split()
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed = [f"{float(number):.2f}" for number in asked.stdout.split()]
    assert printed == expected


def test_the_files_it_names_are_there():
    text = README.read_text()
    named = set(re.findall(r"(?:configs|launch|docs|tests)/[\w./]+\.\w+", text))
    assert len(named) > 8
    assert not [name for name in named if not (README.parent / name).exists()]
