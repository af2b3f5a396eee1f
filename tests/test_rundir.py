"""Stages are skipped when nothing changed, and files appear whole or not at all."""

import json

import numpy as np
import pytest

from ddpm_jax import rundir


@pytest.fixture
def counted(tmp_path):
    runs = []

    def stage(inputs, outputs=()):
        def run():
            runs.append(inputs)
            for path in outputs:
                path.write_bytes(b"12345")
            return {"accuracy": np.float32(0.5)}

        return rundir.stage(tmp_path, "evaluate", inputs, run, outputs)

    return stage, runs


def test_a_stage_runs_once_for_the_same_inputs(counted, tmp_path):
    stage, runs = counted
    first = stage({"seed": 0, "steps": (1, 2)})
    second = stage({"seed": 0, "steps": (1, 2)})
    assert len(runs) == 1
    assert second["accuracy"] == first["accuracy"] == 0.5
    assert json.loads((tmp_path / "results/evaluate.json").read_text())["inputs"] == first["inputs"]


def test_a_stage_runs_again_when_its_inputs_change(counted):
    stage, runs = counted
    stage({"seed": 0})
    stage({"seed": 1})
    assert runs == [{"seed": 0}, {"seed": 1}]


@pytest.mark.parametrize("damage", ["removed", "cut short"])
def test_a_stage_runs_again_when_an_output_is_damaged(counted, tmp_path, damage):
    stage, runs = counted
    output = tmp_path / "synthetic.npz"
    stage({}, [output])
    output.unlink() if damage == "removed" else output.write_bytes(b"123")
    stage({}, [output])
    assert len(runs) == 2


def test_a_missing_result_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="--mode=train"):
        rundir.result(tmp_path, "train")


def test_a_broken_result_file_is_named(tmp_path):
    rundir.result_path(tmp_path, "train").parent.mkdir()
    rundir.result_path(tmp_path, "train").write_text("{")
    with pytest.raises(ValueError, match=r"train\.json is not valid JSON"):
        rundir.result(tmp_path, "train")


@pytest.fixture
def config():
    sections = {section: {} for section in rundir.MODEL_SECTIONS}
    changing = {"net": {"multipliers": (1, 2)}, "training": {"log_every": 10}, "sampling": {"n": 1}}
    return sections | changing | {"seed": 0}


def test_a_config_that_does_not_matter_to_the_model_is_let_through(tmp_path, config):
    rundir.claim(tmp_path, config)
    rundir.claim(tmp_path, config)
    changed = config | {"training": {"log_every": 20}, "sampling": {"n": 2}}
    rundir.claim(tmp_path, changed)
    assert rundir.read_json(tmp_path / "config.json")["config"]["sampling"] == {"n": 2}


def test_a_config_that_matters_is_refused_and_its_differences_are_listed(tmp_path, config):
    rundir.claim(tmp_path, config)
    with pytest.raises(
        ValueError, match=r"net\.multipliers: was \[1, 2\], is \[1, 4\]\n  seed: was 0"
    ):
        rundir.claim(tmp_path, config | {"net": {"multipliers": (1, 4)}, "seed": 1})
    assert rundir.read_json(tmp_path / "config.json")["config"]["net"] == {"multipliers": [1, 2]}


def test_what_json_has_no_form_for_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="object"):
        rundir.write_json(tmp_path / "x.json", {"x": object()})
