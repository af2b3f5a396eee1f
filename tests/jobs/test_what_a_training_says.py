"""The lines of a training: what its step takes, whether it may not fit, and how long it has to go."""

import re
import types

from tiny_run import tiny

from ddpm_jax import progress
from ddpm_jax.assembly import training
from ddpm_jax.models import in_training
from ddpm_jax.training import footprint


def test_it_says_what_its_step_takes_and_warns_where_it_may_not_fit(monkeypatch, capsys):
    config = tiny()
    parts = training.build_parts(config)
    calls = []
    program = training.compile_train_step(parts.placement, parts.programs, parts.state)
    monkeypatch.setattr(
        training, "compile_train_step", lambda *given: (calls.append(given), program)[1]
    )
    same = in_training.compiled(config, parts, parts.state)
    said = capsys.readouterr()
    line = r"[\d.]+ GFLOP an image, .* a device of .*, checkpoints of 17\d KiB\n"
    assert re.fullmatch(line, said.out) and said.err == ""
    monkeypatch.setattr(footprint, "machine_room", lambda: 0)
    in_training.compiled(config, parts, parts.state)
    assert capsys.readouterr().err.startswith("warning: may not fit: batch 32 needs ")
    assert same.train_step is not parts.train_step and len(calls) == 2


def test_under_pmap_the_first_call_compiles(capsys):
    config = tiny()
    config.training.parallel = "pmap"
    parts = training.build_parts(config)
    assert in_training.compiled(config, parts, parts.state) is parts
    assert capsys.readouterr().out == ""


def test_a_line_of_progress_extrapolates_what_there_is_to_go(monkeypatch, capsys):
    """20 steps of a resumed run in 30 s: another 880 take 44 times as long."""
    instants = iter([100.0, 130.0])
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(instants)))
    with progress.bar("train", 1000, "steps", 100) as show:
        show(120, loss=0.25)
    assert capsys.readouterr().out == "train 120/1000 steps, loss 0.25, 22 min 00 s to go\n"
