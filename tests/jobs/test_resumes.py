"""Some of the resumes that `tests/jobs/resumes.py` counts to 500: docs/reliability.md has its last result."""

import re
import subprocess
import sys

import pytest
from tiny_run import ROOT


@pytest.mark.long
def test_resumes_end_in_the_same_bits_and_are_counted_on_where_they_were_stopped(tmp_path):
    def count_to(number):
        command = [sys.executable, "tests/jobs/resumes.py", str(tmp_path), f"--count={number}"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    first = count_to(2)
    assert first.returncode == 0, first.stderr
    assert re.search(r"^2 of 2 ended in the same bits on JAX .*, 4 devices$", first.stdout, re.M)
    [ended] = tmp_path.glob("*/ended.jsonl")
    before = ended.read_text()
    assert "3 of 3 ended in the same bits on" in count_to(3).stdout
    assert ended.read_text().startswith(before)
    ended.write_text(before.replace('"same": true', '"same": false', 1))
    other = count_to(2)
    assert other.returncode == 1 and "1 of 2 ended in the same bits; others: " in other.stdout
