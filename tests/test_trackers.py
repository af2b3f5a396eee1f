"""docs/trackers.md: its example for MLflow runs on a run's own metrics.jsonl, with a recorder for MLflow."""

import json
import pathlib
import re
import types

from ddpm_jax import metrics

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "trackers.md"


def test_the_example_logs_every_number_of_metrics_jsonl(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = tmp_path / "runs/NAME"
    workdir.mkdir(parents=True)
    writer = metrics.open_writer(workdir, step=0)
    writer.scalars(10, {"loss": 0.5, "grad_norm": 1e-3})
    writer.scalars(20, {"loss": 0.25})
    writer.close()
    (code,) = re.findall(r"```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    seen = []
    mlflow = types.SimpleNamespace(log_metrics=lambda values, step: seen.append((step, values)))
    exec(code, {"mlflow": mlflow, "json": json, "pathlib": pathlib})
    assert [step for step, _ in seen] == [10, 20]
    assert seen[0][1]["loss"] == 0.5 and seen[1][1]["loss"] == 0.25
