"""What a person types: help, misspelt fields, wrong files; and what the programs answer."""

import pathlib
import re
import subprocess
import sys
import time

import pytest

from configs import default
from ddpm_jax import command_line, view

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
    """`python tests/test_command_line.py` writes it again."""
    assert (ROOT / "docs/cli.txt").read_text() == help_texts()


def test_help_is_quick_and_needs_no_tensorflow():
    started = time.monotonic()
    assert run("main", "--help").returncode == 0
    assert time.monotonic() - started < 3
    code = "import sys, ddpm_jax.main; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_config_file_that_leaves_is_not_taken_for_a_help(tmp_path):
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    assert run("main", f"--config={tmp_path / 'leaves.py'}").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/none.py"], "there is no file configs/none.py"),
        (["--config=" + "9" * 5000], "there is no file 9999"),
        (["--config=configs/digits.py", "--config.net.widht=3"], "no field 'widht'.*base_channels"),
        (
            ["--config=configs/digits.py", "--config.net.dropout=0.1"],
            r"^error: .*net\.dropout is now net\.unet\.dropout$",
        ),
        (
            ["--config=configs/digits.py", "--config.sampling.churn=0.2"],
            r"^error: config\.sampling\.churn is set, and sampling\.solver='ddim' does not read it; "
            "'edm_stochastic' does$",
        ),
        (
            ["--config=configs/mnist.py", "--config.net.name=double_conv"],
            r"net\.unet\.dropout is set, and .*'double_conv' does not read it "
            r"\(--config\.net\.unet\.dropout=0\.0 takes it back\)",
        ),
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
    assert re.search(message, found.stderr, re.MULTILINE), found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(("old", "new"), command_line.MOVED.items())
def test_a_field_that_moved_is_where_it_is_said_to_be(old, new):
    known = {name for name, _ in view.leaves(default.get_config())}
    assert old not in known and set(new.split(" or ")) <= known


def test_a_flag_takes_back_what_the_file_sets(tmp_path):
    """What is refused then is that there is no model yet."""
    found = run(
        "main", "--config=configs/mnist.py", "--mode=sample", f"--workdir={tmp_path}",
        "--config.net.name=double_conv", "--config.net.unet.dropout=0.0",
        "--config.net.unet.attention_resolutions=()",
    )  # fmt: skip
    assert "holds no checkpoint" in found.stderr


def test_the_classifiers_program_refuses_what_it_does_not_read(tmp_path):
    """After `--real`: the digits, which the config names, have no label to choose."""
    flags = (f"--workdir={tmp_path}", "--config.data.label=species", "--config.classifier.width=8")
    for real, refused in (((), "data.label"), (("--real=tfds:x",), "classifier.width")):
        first = run("classify", *flags, *real).stderr.splitlines()
        assert ("data.label" in " ".join(first)) == (refused == "data.label")
        assert any(
            "config.classifier.width is set, and classifier.net='conv4'" in line for line in first
        )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("config.net.dropout = 0.1", r"net\.dropout is now net\.unet\.dropout"),
        ("config.net.widht = 3", r"no field 'net\.widht'; configs/default\.py has all"),
    ],
)
def test_a_field_of_a_file_that_nothing_reads_is_refused(tmp_path, line, message):
    file = tmp_path / "mine.py"
    file.write_text(
        "from configs import default\n\n\ndef get_config():\n"
        f"    config = default.get_config()\n    {line}\n    return config\n"
    )
    found = run("main", f"--config={file}", f"--workdir={tmp_path}")
    assert found.returncode == 2 and re.search(message, found.stderr), found.stderr


def test_an_error_of_the_input_is_one_line_and_status_2(tmp_path):
    flags = ("--config=configs/digits.py", "--mode=sample", f"--workdir={tmp_path}")
    found = run("main", *flags)
    assert found.returncode == 2
    assert "holds no checkpoint; run --mode=train first" in found.stderr
    assert "Traceback" not in found.stderr
    assert "Traceback" in run("main", *flags, "--traceback").stderr


if __name__ == "__main__":
    (ROOT / "docs/cli.txt").write_text(help_texts())
