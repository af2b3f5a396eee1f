"""The program, and a note of each file that it changes: `python watched_program.py NOTES FLAGS...`.

The notes are a JSON list of (event, path) of `deeds`, left when the program ends.
"""

import json
import pathlib
import runpy
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import deeds

if __name__ == "__main__":
    notes = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as nowhere, deeds.outside(nowhere) as done:
        try:
            runpy.run_module("ddpm_jax.main", run_name="__main__", alter_sys=True)
        finally:
            pathlib.Path(notes).write_text(json.dumps(done))
