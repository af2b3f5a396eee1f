import os
import pickle

import deeds


def test_what_is_done_outside_of_a_folder_is_told(tmp_path):
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    inside.mkdir()
    with deeds.outside(inside) as done:
        (inside / "a").write_text("a")
        (inside / "a").rename(inside / "b")
        (inside / "link").symlink_to(beside)
        (inside / "b").read_text()
    assert done == []
    program = pickle.dumps(os.getpid)
    with deeds.outside(inside) as done:
        (inside / "link").write_text("through a link")
        beside.unlink()
        pickle.loads(program)
    assert [event for event, *_ in done] == ["open", "os.remove", "pickle.find_class"]
    assert done[0][1] == done[1][1] == str(beside)
