"""Results as JSON: what is missing, broken or no JSON is said."""

import pytest

from ddpm_jax import rundir


def test_a_missing_result_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="--mode=train"):
        rundir.result(tmp_path, "train")


def test_a_broken_result_file_is_named(tmp_path):
    rundir.result_path(tmp_path, "train").parent.mkdir()
    rundir.result_path(tmp_path, "train").write_text("{")
    with pytest.raises(ValueError, match=r"train\.json is not valid JSON"):
        rundir.result(tmp_path, "train")


def test_what_json_has_no_form_for_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="object"):
        rundir.write_json(tmp_path / "x.json", {"x": object()})
