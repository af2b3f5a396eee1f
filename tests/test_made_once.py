"""`made_once` of tests/conftest.py, by which pytest's processes share what takes long to make."""

import threading

import pytest


def test_who_comes_while_it_is_made_waits_and_makes_nothing(made_once):
    made, found = [], []

    def make(folder):
        made.append(folder)
        (folder / "whole").touch()
        if not second.ident:
            second.start()
            second.join(0.3)  # it would make another within this time

    # A lock of the file system is as good between threads as between processes.
    second = threading.Thread(target=lambda: found.append(made_once("for two", make)))
    found.append(made_once("for two", make))
    second.join()
    assert len(made) == 1 and found[0] == found[1]
    assert [path.name for path in found[0].iterdir()] == ["whole"]


def test_what_was_not_finished_is_made_again_from_nothing(made_once):
    def fail(folder):
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        made_once("after a failure", fail)
    folder = made_once("after a failure", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
