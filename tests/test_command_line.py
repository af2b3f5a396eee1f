"""What a person types: help, misspelt fields, wrong files; and what the programs answer."""

import pathlib
import re
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"ddpm_jax.{module}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def help_texts():
    texts = []
    for module in ("main", "classify"):
        text = run(module, "--help").stdout
        text = re.sub(r"^/.*/(?=ddpm_jax/)", "", text, flags=re.MULTILINE)
        texts.append(f"$ python -m ddpm_jax.{module} --help\n{text}")
    return "\n".join(texts)


def test_the_help_in_docs_is_the_programs_help():
    """`python tests/test_command_line.py` writes it anew."""
    assert (ROOT / "docs/cli.txt").read_text() == help_texts()


def test_help_is_quick_and_needs_no_tensorflow():
    started = time.monotonic()
    assert run("main", "--help").returncode in (0, 1)  # absl leaves with 1 after its help
    assert time.monotonic() - started < 3
    code = "import sys, ddpm_jax.main; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/none.py"], "there is no file configs/none.py"),
        (["--config=configs/digits.py", "--config.net.widht=3"], "no field 'widht'.*base_channels"),
        (["--config=configs/digits.py", "--config.moo=3"], "no field 'moo'.*there are: augment"),
        (["--config=configs/digits.py", "--config.seed.x=3"], "no field 'x'.*none below it"),
        (["--config=configs/digits.py", "--config.seed=x"], "could not convert|invalid"),
        (["--config=configs/digits.py", "--mode=trian"], "should be one of"),
        (["--config=configs/digits.py", "train"], "'train' is no flag"),
        ([], "--config must have a value"),
    ],
)
def test_wrong_flags_get_one_line_that_says_what_there_is(arguments, message):
    found = run("main", *arguments)
    assert found.returncode == 2
    assert re.search(message, found.stderr), found.stderr
    assert "Traceback" not in found.stderr


def test_an_error_of_the_input_is_one_line_and_status_2(tmp_path):
    flags = ("--config=configs/digits.py", "--mode=sample", f"--workdir={tmp_path}")
    found = run("main", *flags)
    assert found.returncode == 2
    assert "holds no checkpoint; run --mode=train first" in found.stderr
    assert "Traceback" not in found.stderr
    assert "Traceback" in run("main", *flags, "--traceback").stderr


if __name__ == "__main__":
    (ROOT / "docs/cli.txt").write_text(help_texts())
