"""Whatever bytes are in a file of weights, reading it gives arrays or a ValueError of one line."""

import io
import os
import pathlib
import pickle
import pickletools
import random
import struct
import zipfile

import deeds
import fuzzing
import jax
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
            with deeds.outside(path.parent) as done:
                arrays = torch_file.read(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            counts["refused"] += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
            counts["read"] += 1
        assert not done
    return counts


def test_damaged_weights_are_refused_in_one_line(tmp_path):
    counts = fuzz(tmp_path / "a.pth", 400)
    assert counts["refused"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


class Bomb:
    """Runs a command, if it is ever unpickled."""

    def __reduce__(self):
        return os.system, ("echo unpickled",)


def header(descr, shape):
    """The beginning of an array's file, from the definition of the format; its rest is missing."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


ODD = [
    header("<U64", (1008, 2048)), header("<f4", (10**12,)), header("<f4", (-1, 3)), header("|O", ()), b"",
    np.zeros(0, np.float32), np.float32(np.nan), np.array("é\n"), np.array([Bomb()]), np.zeros((3, 3, 3, 4)),
    np.full(4, np.nan, np.float32), np.zeros(4, "g"), np.zeros(4, "c8"), np.array("0" * 64),
]  # fmt: skip
SOUND = {
    "Conv2d_1a_3x3/kernel": np.ones((3, 3, 3, 4), np.float32),
    "Conv2d_1a_3x3/bias": np.ones(4, np.float32),
    "head": np.zeros((1008, 2048), np.float32),
    "sha256": np.array(inception_weights.OFFICIAL + "0" * 56),
}


def packed(arrays):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                member.write(array) if isinstance(array, bytes) else np.save(member, array)
    return file.getvalue()


def inception_files():
    """A file of weights as `inception_weights.save` makes it, and ones with an array that is another."""
    yield packed(SOUND)
    yield packed(SOUND | {"head": np.full((1008, 2048), np.inf, np.float16)})
    for name in SOUND:
        others = {key: array for key, array in SOUND.items() if key != name}
        yield packed(others)
        yield from (packed(others | {name: array}) for array in ODD)


def fuzz_inception(path, num):
    """As `fuzz`, the files of one convolution instead of the 94, so that there can be many."""
    rng = random.Random(0)
    seeds = list(inception_files())
    counts = {"read": 0, "refused": 0}
    for number in range(num):
        data = seeds[number] if number < len(seeds) else rng.choice([seeds[0], *seeds])
        path.write_bytes(data if number < len(seeds) else damaged(rng, data))
        try:
            with deeds.outside(path.parent) as done:
                weights = inception_weights.load(path)
            assert np.isfinite(weights.head).all()
            counts["read"] += 1
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
            counts["refused"] += 1
        assert not done
    return counts


@pytest.fixture
def small_inception(monkeypatch):
    kernels = {"Conv2d_1a_3x3": (3, 3, 3, 4)}
    monkeypatch.setattr(inception_weights, "_kernels", lambda: kernels)
    # Compiled programs are files too.
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", True)


@pytest.mark.filterwarnings("ignore:.*not comparable")
def test_damaged_inception_weights_are_refused_in_one_line(small_inception, tmp_path):
    counts = fuzz_inception(tmp_path / "a.npz", 70)
    assert counts["read"] > 0 and counts["refused"] > 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not comparable", "ignore:invalid escape sequence")
def test_many_damaged_weights_are_refused_within_bounded_memory(
    small_inception, tmp_path, record_property
):
    """`DDPM_JAX_FUZZ` files of each kind; prints what became of them."""
    num = fuzzing.wanted()
    for kind, run, name in (("pth", fuzz, "a.pth"), ("npz", fuzz_inception, "a.npz")):
        before = fuzzing.peak_mib()
        counts = run(tmp_path / name, num)
        growth = fuzzing.peak_mib() - before
        record_property("counted", f"{kind} weights {counts}, peak memory +{growth:.0f} MiB")
        assert growth < 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.pth"]


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
    with pytest.raises(ValueError, match=rf"{path} has no .*: these are not weights of the FID"):
        inception_weights.load(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=f"{path}: the archive: "):
        inception_weights.load(path)
