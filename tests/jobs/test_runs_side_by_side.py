"""Several finished work directories in one table."""

import shutil

import pytest
from PIL import Image

from ddpm_jax import run_files, rundir
from ddpm_jax.jobs import compare, report


@pytest.fixture
def two(finished, tmp_path):
    """The second one without an evaluation."""
    second = shutil.copytree(finished, tmp_path / "second")
    rundir.result_path(second, "evaluate").unlink()
    return [finished, second]


def test_two_runs_stand_side_by_side_in_a_table_a_plot_and_the_page(two, config, tmp_path, capsys):
    fields = compare.several(two, tmp_path)
    assert [row[0] for row in fields["rows"]] == ["run", "second"]
    arms = rundir.result(two[0], "classify")["arms"]
    assert fields["rows"][0][1].startswith(f"{100 * arms['synthetic']['accuracy']:.1f} ± ")
    assert "(frechet_conv4)" in fields["rows"][0][4]
    assert fields["rows"][1][4:] == ["-", "-"]
    assert "second" in capsys.readouterr().out
    for name in ("runs", "runs-samples"):
        Image.open(tmp_path / f"figures/{name}.png").load()
    report.run(config, tmp_path)
    assert "Side by side with other runs" in (tmp_path / "report.html").read_text()


def test_an_evaluation_of_other_images_than_the_classifiers_is_left_out(two, tmp_path):
    path = rundir.result_path(two[0], "evaluate")
    found = rundir.read_json(path)
    found["reads"]["files"][run_files.SYNTHETIC] = "another"
    rundir.write_json(path, found)
    assert compare.several(two, tmp_path)["rows"][0][4:] == ["-", "-"]


def test_results_of_other_images_are_not_compared(finished, config):
    path = rundir.result_path(finished, "classify")
    found = rundir.read_json(path)
    found["reads"]["files"][run_files.SYNTHETIC] = "another"
    rundir.write_json(path, found)
    with pytest.raises(
        ValueError, match=r"classify\.json is of other images than .*run --mode=classify"
    ):
        compare.run(config, finished)


@pytest.mark.parametrize("field", ["test_sha256", "classifier"])
def test_runs_that_cannot_be_compared_are_refused(two, tmp_path, field):
    path = rundir.result_path(two[1], "classify")
    rundir.write_json(path, rundir.read_json(path) | {field: "another"})
    with pytest.raises(ValueError, match="run and second have other"):
        compare.several(two, tmp_path)


def test_runs_without_the_baseline_are_refused(two, tmp_path):
    path = rundir.result_path(two[1], "classify")
    found = rundir.read_json(path)
    del found["arms"]["real"]
    rundir.write_json(path, found)
    with pytest.raises(ValueError, match=r"second has the arms synthetic, .*; wanted 'real'"):
        compare.several(two, tmp_path)


def test_runs_of_one_name_and_unfinished_runs_are_refused(two, tmp_path):
    with pytest.raises(ValueError, match="two work directories called run"):
        compare.several([two[0], two[0]], tmp_path)
    with pytest.raises(FileNotFoundError, match="--mode=classify"):
        compare.several([tmp_path / "absent"], tmp_path)


def test_runs_go_with_one_mode_only(program):
    ended = program("--runs=a,b")
    assert ended.returncode == 2 and "--runs goes with --mode=compare" in ended.stderr
