"""A stage runs again exactly when a field or a file that it read has changed."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, stages, view


@pytest.fixture
def config():
    config = ConfigDict({"seed": 0, "a": {"x": 1, "y": (1, 2), "unread": 3}, "b": {"group": {}}})
    config.training = ConfigDict({"log_every": 10})
    return config.lock()


def counted(work):
    """The stage, and how often it ran."""
    runs = []

    def noted(config, files):
        runs.append(1)
        return work(config, files)

    return stages.stage("toy", "export")(noted), runs


def reads_x(config, files):
    return {"accuracy": np.float32(config.a.x / 2), "steps": config.a.y}


def test_a_stage_runs_once_for_what_it_has_read(config, tmp_path, capsys):
    toy, runs = counted(reads_x)
    first = toy(config, tmp_path)
    second = toy(config, tmp_path)
    assert len(runs) == 1 and "[toy] up to date" in capsys.readouterr().out
    assert second["accuracy"] == first["accuracy"] == 0.5 and second["steps"] == [1, 2]
    assert second["reads"] == {"fields": {"a.x": 1, "a.y": [1, 2]}, "files": {}}


@pytest.mark.parametrize(
    ("name", "value", "again"),
    [("a.x", 2, True), ("a.y", (1, 3), True), ("a.unread", 4, False), ("seed", 1, False)],
)
def test_a_stage_runs_again_for_the_fields_that_it_read(
    config, tmp_path, capsys, name, value, again
):
    toy, runs = counted(reads_x)
    toy(config, tmp_path)
    config.update_from_flattened_dict({name: value})
    capsys.readouterr()
    toy(config, tmp_path)
    assert len(runs) == 1 + again
    assert (f"({name}: was" in capsys.readouterr().out) == again


def test_a_field_that_changes_nothing_is_not_noted(config, tmp_path):
    toy, runs = counted(lambda config, files: {"every": config.training.log_every})
    toy(config, tmp_path)
    config.training.log_every = 20
    toy(config, tmp_path)
    assert len(runs) == 1


def test_a_section_that_is_enumerated_is_read_whole(config, tmp_path):
    toy, runs = counted(lambda config, files: {"groups": len(config.b.group)})
    toy(config, tmp_path)
    with config.unlocked():
        config.b.group.cat = ("Bengal",)
    assert toy(config, tmp_path)["groups"] == 1
    assert len(runs) == 2


def test_a_field_that_the_stage_sets_in_a_copy_is_not_read(config, tmp_path):
    def work(config, files):
        copy = config.copy_and_resolve_references()
        copy.a.x = 5
        return {"x": copy.a.x, "unread": copy.a.unread}

    toy, _ = counted(work)
    found = toy(config, tmp_path)
    assert found["x"] == 5 and config.a.x == 1
    assert found["reads"]["fields"] == {"a.unread": 3}


def test_a_stage_cannot_change_the_config(config, tmp_path):
    def work(config, files):
        config.a.x = 2
        return {}

    with pytest.raises(TypeError, match=r"a\.x is set while a stage runs"):
        counted(work)[0](config, tmp_path)


def test_what_is_read_unseen_decides_nothing(config, tmp_path):
    toy, runs = counted(lambda config, files: {"x": view.unseen(config).a.x})
    toy(config, tmp_path)
    config.a.x = 2
    toy(config, tmp_path)
    assert len(runs) == 1


@pytest.mark.parametrize("damage", ["is gone", "has 3 bytes, had 5"])
def test_a_stage_runs_again_when_what_it_made_is_damaged(config, tmp_path, capsys, damage):
    def work(config, files):
        files.figure("a.png").parent.mkdir(exist_ok=True)
        files.figure("a.png").write_bytes(b"12345")
        return {}

    toy, runs = counted(work)
    made = rundir.figures(tmp_path) / "a.png"
    assert toy(config, tmp_path)["outputs"] == {"figures/a.png": 5}
    made.unlink() if "gone" in damage else made.write_bytes(b"123")
    toy(config, tmp_path)
    assert len(runs) == 2 and f"figures/a.png {damage}" in capsys.readouterr().out


def test_files_are_known_by_their_content(config, tmp_path):
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    rundir.synthetic(tmp_path).write_bytes(b"images")

    def work(config, files):
        files.synthetic()
        return {"size": len(files.read(str(weights)))}

    toy, runs = counted(work)
    toy(config, tmp_path)
    weights.write_bytes(b"1")  # later, the same
    toy(config, tmp_path)
    assert len(runs) == 1
    weights.write_bytes(b"2")
    toy(config, tmp_path)
    assert len(runs) == 2
    toy.on(config, tmp_path, None)  # another set: none
    assert len(runs) == 3
    toy(config, tmp_path)
    rundir.synthetic(tmp_path).unlink()
    with pytest.raises(FileNotFoundError, match="run --mode=export first"):
        toy(config, tmp_path)


def test_an_interrupted_stage_resumes_unless_what_it_read_has_changed(config, tmp_path):
    seen = []

    def work(config, files):
        seen.append(files.unfinished())
        files.keep([config.a.x])
        if len(seen) < 3:
            raise KeyboardInterrupt
        return {}

    toy, _ = counted(work)
    for x in (1, 1):
        config.a.x = x
        with pytest.raises(KeyboardInterrupt):
            toy(config, tmp_path)
    config.a.x = 2
    toy(config, tmp_path)
    assert seen == [None, [1], None]
    assert not list((tmp_path / "results").glob("*.partial.json"))


def test_what_an_interrupted_call_had_read_counts_as_read(config, tmp_path):
    def work(config, files):
        if files.unfinished() is None:
            files.keep({"x": config.a.x})
            raise KeyboardInterrupt
        return {}

    toy, runs = counted(work)
    with pytest.raises(KeyboardInterrupt):
        toy(config, tmp_path)
    toy(config, tmp_path)
    config.a.x = 2
    with pytest.raises(KeyboardInterrupt):  # it runs again, from the start
        toy(config, tmp_path)
    assert len(runs) == 3


def test_a_result_of_an_earlier_version_is_made_again(config, tmp_path, capsys):
    rundir.write_json(rundir.result_path(tmp_path, "toy"), {"inputs": "abc", "outputs": {}})
    toy, runs = counted(reads_x)
    toy(config, tmp_path)
    assert len(runs) == 1 and "made by an earlier version" in capsys.readouterr().out


def test_explain_says_what_changed_and_what_follows(config, tmp_path, monkeypatch):
    toy, _ = counted(reads_x)
    later = stages.Stage("later", ("toy",), lambda config, files: {"seed": config.seed})
    monkeypatch.setattr(stages, "of_mode", {"toy": toy, "later": later, "report": None}.get)

    def explained():
        return list(stages.explain(config, tmp_path, ("toy", "later", "report")))

    assert explained()[0] == "[toy] not made yet"
    toy(config, tmp_path), later(config, tmp_path)
    assert explained() == ["[toy] up to date", "[later] up to date", "[report] always made again"]
    config.a.x = 7
    assert explained()[:2] == [
        "[toy] a.x: was 1, is 7",
        "[later] after toy, which is made again",
    ]


def test_notes_are_what_json_gives_back(config, tmp_path):
    toy, _ = counted(reads_x)
    toy(config, tmp_path)
    kept = json.loads(rundir.result_path(tmp_path, "toy").read_text())
    files = run_files.open_for("toy", config, tmp_path)
    assert not list(run_files.changes(kept["reads"], files))


def test_what_no_stage_has_read_is_named(config, tmp_path):
    train = stages.stage("train")(reads_x)
    train(config, tmp_path)
    names = ("a.x", "a.unread", "training.log_every")
    assert stages.never_read(tmp_path, names) == ["a.unread"]


@pytest.mark.parametrize("kind", ["folder", "npz", "hf"])
def test_a_stage_runs_again_when_the_users_images_have_changed(tmp_path, kind):
    toy, runs = counted(lambda config, files: {"of": config.data.source})
    images = tmp_path / "images"
    (images / "cat").mkdir(parents=True)
    (images / "cat" / "1.png").write_bytes(b"one")
    where = images / "cat" / "1.png" if kind == "npz" else images
    config = ConfigDict({"seed": 0, "data": {"source": f"{kind}:{where}"}})
    toy(config, tmp_path / "run")
    toy(config, tmp_path / "run")
    assert len(runs) == 1
    (images / "cat" / "1.png").write_bytes(b"another")
    files = run_files.open_for("toy", config, tmp_path / "run")
    assert list(stages.reasons(files)) == ["the folder or file of real images is another one"]
    toy(config, tmp_path / "run")
    assert len(runs) == 2
    if kind != "npz":
        (images / ".DS_Store").write_bytes(b"of a system")
        (images / "cat" / "._1.jpg").write_bytes(b"of a system")
        (images / "cat" / "Thumbs.db").write_bytes(b"of a system")
        toy(config, tmp_path / "run")
        assert len(runs) == 2
        (images / "cat" / "1.png").rename(images / "cat" / "2.png")
        toy(config, tmp_path / "run")
        assert len(runs) == 3


def test_sources_that_are_not_the_users_files_leave_no_note(tmp_path):
    toy, _ = counted(lambda config, files: {"of": config.data.source})
    config = ConfigDict({"seed": 0, "data": {"source": "digits"}})
    assert toy(config, tmp_path)["reads"]["files"] == {}
    config.data.source = "hf:somebody/images"
    assert toy(config, tmp_path)["reads"]["files"] == {}
