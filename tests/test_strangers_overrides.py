"""Whatever is typed behind --config., there is a config or a line that says what is wrong with it."""

import contextlib
import io
import json
import pathlib
import random
import subprocess
import sys

import fuzzing
import pytest
from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
FIELDS = (
    "seed", "data.source", "data.classes", "data.image_size", "net.multipliers", "net.dropout",
    "net.unet.dropout",
    "training.num_steps", "training.skip_nonfinite", "optim.learning_rate", "sampling", "net",
    "nett.x", "", ".", "seed.seed", "net.multipliers[0]", "data.groups.cat",
)  # fmt: skip
VALUES = (
    "1", "-1", "1e999", "nan", "inf", "True", "None", "", "()", "(1,", "(1, 2)", "[1", "{}", "'a'",
    "((" * 200, "9" * 5000, "0x10", "1_0", "\0", "\ud800", "é", "__import__('os').system('exit')",
    "lambda: 0", "a=b", "--seed", "%s", "1j", "(1, 'a')", "\n",
)  # fmt: skip


def override(rng):
    name = rng.choice(FIELDS)
    value = rng.choice(VALUES)
    if rng.random() < 0.3:
        value += rng.choice(VALUES)
    if rng.random() < 0.3:
        value = "".join(chr(rng.randrange(1, 300)) for _ in range(rng.randrange(12)))
    return rng.choice(
        ["--config.{}={}", "-config.{}={}", "--config.{} {}", "--config{}={}"]
    ).format(name, value)


def main(num):
    """In a process of its own, because flags belong to the process; prints what became of them."""
    from ddpm_jax import command_line

    rng = random.Random(0)
    counts = {"read": 0, "refused": 0}
    before = fuzzing.peak_mib()
    for _ in range(num):
        argv = ["main", "--config=configs/digits.py", override(rng)]
        sys.argv = argv  # ml_collections looks there for the names
        flags.FLAGS.unparse_flags()
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                command_line._parse(argv, None)
            counts["read"] += 1
        except SystemExit as left:
            assert left.code == command_line.EXIT_ERROR
            assert said.getvalue().startswith("error: "), said.getvalue()
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(argv) from error
    growth = fuzzing.peak_mib() - before
    print(json.dumps(counts | {"peak_memory_mib": round(growth)}))


def run(num):
    before = sorted(path.name for path in ROOT.iterdir())
    done = subprocess.run(
        [sys.executable, __file__, str(num)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in ROOT.iterdir()) == before
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["read"] > 0 and counts["refused"] > 0 and counts["peak_memory_mib"] < 200
    return counts


def test_malformed_overrides_are_refused():
    run(200)


@pytest.mark.slow
def test_many_malformed_overrides_are_refused(record_property):
    """`DDPM_JAX_FUZZ` overrides; prints what became of them."""
    counts = run(fuzzing.wanted())
    record_property("counted", f"overrides {counts}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
