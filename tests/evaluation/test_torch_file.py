"""Files written by PyTorch itself (tests/golden/record_inception.py), and hostile ones made here."""

import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from ddpm_jax.evaluation import torch_file

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FILES = [GOLDEN / "tensors_archive.pth", GOLDEN / "tensors_stream.pth"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_tensors_come_out_as_they_were_put_in(path):
    tensors = torch_file.read(path)
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8
    expected = {
        "weight": weight,
        "transposed": weight.transpose(2, 0, 1),
        "part": weight[1, 1:],
        "count": np.int64(7),
        "half": np.array([1.5, -2], np.float16),
        "double": np.array([0.1]),
    }
    assert list(tensors) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def archive(path, pickled, **others):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled)
        for name, content in others.items():
            file.writestr(f"x/{name}", content)


def test_a_file_that_calls_anything_else_is_refused_and_the_call_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps({"weight": Attack()}, protocol=2)
    archive("archive.pth", pickled)
    header = b"".join(
        pickle.dumps(part, protocol=2)
        for part in (torch_file.STREAM_MAGIC, 1001, {"little_endian": True})
    )
    pathlib.Path("stream.pth").write_bytes(header + pickled)
    for name in ("archive.pth", "stream.pth"):
        with pytest.raises(ValueError, match=r"wants (posix|nt)\.mkdir"):
            torch_file.read(name)
    assert not pathlib.Path("attacked").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_short_is_refused(path, part, tmp_path):
    content = path.read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="not a whole file"):
        torch_file.read(tmp_path / "cut.pth")


def test_a_tensor_that_reaches_beyond_its_memory_is_refused(tmp_path):
    content = (GOLDEN / "tensors_archive.pth").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    name = next(name for name in parts if name.endswith("/data/0"))
    parts[name] = parts[name][:48]
    with zipfile.ZipFile(tmp_path / "short.pth", "w") as file:
        for each, value in parts.items():
            file.writestr(each, value)
    with pytest.raises(ValueError, match="not a whole file"):
        torch_file.read(tmp_path / "short.pth")


def test_a_storage_that_is_a_view_of_another_is_refused():
    unpickler = torch_file._Unpickler(io.BytesIO())
    pid = ("storage", np.dtype("<f4"), "0", "cpu", 8, ("1", 0, 4))
    with pytest.raises(ValueError, match="view of another"):
        unpickler.persistent_load(pid)


def test_big_endian_archives_and_other_files_are_refused(tmp_path):
    archive(tmp_path / "big.pth", pickle.dumps({}), byteorder="big")
    with pytest.raises(ValueError, match="big-endian"):
        torch_file.read(tmp_path / "big.pth")
    header = [torch_file.STREAM_MAGIC, 1001, {"little_endian": False}]
    (tmp_path / "stream.pth").write_bytes(b"".join(map(pickle.dumps, header)))
    with pytest.raises(ValueError, match="big-endian"):
        torch_file.read(tmp_path / "stream.pth")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"got 0 files data\.pkl"):
        torch_file.read(tmp_path / "other.pth")
    (tmp_path / "number.pth").write_bytes(pickle.dumps(7))
    with pytest.raises(ValueError, match="magic number"):
        torch_file.read(tmp_path / "number.pth")
    archive(tmp_path / "list.pth", pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="not a whole file"):
        torch_file.read(tmp_path / "list.pth")
    archive(tmp_path / "numbers.pth", pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="not a whole file"):
        torch_file.read(tmp_path / "numbers.pth")
