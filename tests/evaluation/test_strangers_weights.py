"""Whatever bytes are in a file of weights, reading it gives arrays or a ValueError of one line."""

import io
import os
import pathlib
import pickle
import pickletools
import random
import resource
import struct
import zipfile

import numpy as np
import pytest

from ddpm_jax.evaluation import inception_weights, torch_file

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SEEDS = [(GOLDEN / name).read_bytes() for name in ("tensors_archive.pth", "tensors_stream.pth")]
OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


def damaged(rng, seed):
    """A valid file with bytes replaced, cut out or put in, often by what a pickle understands."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) or 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = rng.randbytes(1)
            case 1:
                data[at : at + 4] = rng.choice([b"\0" * 4, b"\xff" * 4, b"\x7f" * 4])
            case 2:
                del data[at : at + rng.randint(1, 40)]
            case 3:
                data[at:at] = rng.choice(OPCODES) + rng.randbytes(rng.randrange(9))
            case 4:
                del data[at + 1 :]
    return bytes(data)


def repacked(rng):
    """An archive that is sound around a pickle that need not be: checksums stop other damage."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SEEDS[0])) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, damaged(rng, data) if name.endswith("/data.pkl") else data)
    return file.getvalue()


def fuzz(path, num):
    """How many files could be read, and how many were refused."""
    rng = random.Random(0)
    counts = {"read": 0, "refused": 0}
    for _ in range(num):
        path.write_bytes(repacked(rng) if rng.random() < 0.5 else damaged(rng, rng.choice(SEEDS)))
        try:
            arrays = torch_file.read(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            counts["refused"] += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
            counts["read"] += 1
    return counts


def test_damaged_weights_are_refused_in_one_line(tmp_path):
    counts = fuzz(tmp_path / "a.pth", 400)
    assert counts["refused"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.slow
def test_many_damaged_weights_are_refused_within_bounded_memory(tmp_path, capsys):
    """`DDPM_JAX_FUZZ` files; prints what became of them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = fuzz(tmp_path / "a.pth", int(os.environ.get("DDPM_JAX_FUZZ", "5000")))
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    with capsys.disabled():
        print(f"\nweights {counts}, peak memory +{growth:.0f} MiB")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
    assert growth < 200


def stream(state, storages):
    file = io.BytesIO()
    for part in (torch_file.STREAM_MAGIC, 1001, {"little_endian": True}):
        file.write(pickle.dumps(part, 2))
    file.write(state + pickle.dumps(list(storages), 2))
    for values in storages.values():
        file.write(struct.pack("<q", len(values)) + values.tobytes())
    return file.getvalue()


def tensor(shape, strides):
    """The pickle of {"w": a view of storage "0"}, written by hand: protocol 2's opcodes."""
    text = [b"\x80\x02}", pickle.dumps("w", 2)[2:-1], b"ctorch._utils\n_rebuild_tensor_v2\n("]
    text += [pickle.dumps("storage", 2)[2:-1].join([b"(", b"ctorch\nFloatStorage\n"])]
    text += [pickle.dumps(part, 2)[2:-1] for part in ("0", "cpu", 4)]
    text += [b"tQ", *(pickle.dumps(part, 2)[2:-1] for part in (0, shape, strides, False, None))]
    return b"".join([*text, b"tRs."])


def test_a_tensor_that_pretends_to_be_larger_than_its_file_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    values = np.arange(4, dtype=np.float32)
    path.write_bytes(stream(tensor((2, 2), (2, 1)), {"0": values}))
    np.testing.assert_array_equal(torch_file.read(path)["w"], values.reshape(2, 2))
    path.write_bytes(stream(tensor((10**12,), (0,)), {"0": values}))
    with pytest.raises(ValueError, match="would take 4000000000000 bytes, the file has"):
        torch_file.read(path)
    path.write_bytes(stream(tensor((-1,), (0,)), {"0": values}))
    with pytest.raises(ValueError, match="a tensor has shape"):
        torch_file.read(path)


def test_room_for_a_billion_objects_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    state = b"\x80\x02}r" + struct.pack("<I", 2**31) + b"."
    path.write_bytes(stream(state, {}))
    with pytest.raises(ValueError, match="object 2147483648 of at most"):
        torch_file.read(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(ValueError, match="would unpack to 10000000 bytes"):
        torch_file.read(path)


def test_other_arrays_and_half_a_file_are_no_inception_weights(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(ValueError, match=f"{path} has no whole weights.*there is no "):
        inception_weights.load(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=f"{path} has no whole weights"):
        inception_weights.load(path)
