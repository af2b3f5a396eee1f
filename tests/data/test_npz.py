import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from ddpm_jax.data import npz, source

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.int32)
NAMES = ("cat", "dog", "Schrödinger's")
META = {"seed": 3, "sampler": "ddim", "steps": [1, 2]}


@pytest.mark.parametrize("arr_keys", [False, True])
def test_what_is_saved_is_read_back(tmp_path, arr_keys):
    path = tmp_path / "synthetic.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META, arr_keys=arr_keys)
    read = npz.load(path)
    np.testing.assert_array_equal(source.decode(read), IMAGES)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.labels.dtype == np.int32
    assert read.class_names == NAMES
    assert read.name == "synthetic"
    assert npz.load_meta(path) == META


@pytest.mark.parametrize(
    ("arr_keys", "keys"),
    [
        (False, {"image", "label", "class_names", "meta"}),
        (True, {"arr_0", "arr_1", "class_names", "meta"}),
    ],
)
def test_plain_numpy_opens_it_without_pickle(tmp_path, arr_keys, keys):
    path = tmp_path / "a.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META, arr_keys=arr_keys)
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == keys
        assert all(arrays[key].dtype != object for key in keys)
        assert json.loads(arrays["meta"].item()) == META


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        npz.save(tmp_path / name, IMAGES, LABELS, NAMES, META)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META)
    before = path.read_bytes()

    def half(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="No space left"):
        npz.save(path, IMAGES[:2], LABELS[:2], NAMES, META)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_openai_samples_without_labels_are_one_class(tmp_path):
    np.savez(tmp_path / "samples.npz", IMAGES)
    read = npz.load(tmp_path / "samples.npz")
    np.testing.assert_array_equal(read.labels, np.zeros(6))
    assert read.class_names == ("0",)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_labels_of_any_integer_type_and_either_packing(tmp_path, dtype, save):
    save(tmp_path / "a.npz", arr_0=IMAGES, arr_1=LABELS.astype(dtype))
    read = npz.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(read.read(4), IMAGES[4])


def test_fortran_order_is_read_as_it_is_meant(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.asfortranarray(IMAGES), label=LABELS)
    np.testing.assert_array_equal(source.decode(npz.load(tmp_path / "a.npz")), IMAGES)


def test_npz_needs_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        npz.load(tmp_path / "none.npz")


def archive(path, compression=zipfile.ZIP_STORED, **members):
    """An `.npz` with these bytes (or arrays) as its members."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for key, content in members.items():
            if isinstance(content, np.ndarray):
                content = encoded(content)
            file.writestr(f"{key}.npy", content)
    return path


def encoded(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def header(shape, descr="|u1", order=False, version=(1, 0)):
    """A header that claims whatever it likes, with nothing behind it."""
    text = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text


REFUSED = {
    "wrong keys": (dict(x=IMAGES), r"has x; wanted image and label, or arr_0 and arr_1"),
    "misspelt label": (
        dict(image=IMAGES, labels=LABELS),
        r"has image, labels; wanted image and label",
    ),
    "floats": (dict(image=IMAGES / 255, label=LABELS), "image: dtype is float64; wanted uint8"),
    "NaN": (
        dict(image=np.full((6, 4, 4, 3), np.nan, "f4"), label=LABELS),
        "image: dtype is float32; wanted uint8",
    ),
    "signed": (dict(image=IMAGES.astype("i1"), label=LABELS), "dtype is int8; wanted uint8"),
    "object": (dict(image=np.array([{}, 1]), label=LABELS), "dtype is object; wanted uint8"),
    "no channels": (dict(image=IMAGES[..., 0], label=LABELS), r"\(6, 4, 5\); wanted 4 dimensions"),
    "two channels": (dict(image=IMAGES[..., :2], label=LABELS), r"\(6, 4, 5, 2\); wanted"),
    "no images": (dict(image=IMAGES[:0], label=LABELS[:0]), r"\(0, 4, 5, 3\); wanted"),
    "flat images": (dict(image=IMAGES[:, :0], label=LABELS), r"\(6, 0, 5, 3\); wanted"),
    "float labels": (
        dict(image=IMAGES, label=LABELS + 0.5),
        "label: dtype is float64; wanted integer",
    ),
    "one-hot labels": (dict(image=IMAGES, label=np.eye(6, dtype=int)), "wanted 1 dimensions"),
    "few labels": (dict(image=IMAGES, label=LABELS[:5]), "5 labels for 6 images"),
    "empty class": (
        dict(image=IMAGES, label=LABELS * 2),
        "labels run from 0 to 4 in 3 values; wanted 0 to K-1 with no gap, or class_names",
    ),
    "wild label": (
        dict(image=IMAGES, label=LABELS.astype(np.uint64) * 2**62),
        "labels run from 0 to 9223372036854775808 in 3 values",
    ),
    "negative label": (
        dict(image=IMAGES, label=LABELS - 1, class_names=np.array(NAMES)),
        "labels run from -1 to 1; wanted 0 to 2, for 3 class_names",
    ),
    "label out of range": (
        dict(image=IMAGES, label=LABELS, class_names=np.array(NAMES[:2])),
        "labels run from 0 to 2; wanted 0 to 1, for 2 class_names",
    ),
    "names as bytes": (
        dict(image=IMAGES, label=LABELS, class_names=np.array([b"a", b"b", b"c"])),
        r"class_names: dtype is \|S1; wanted str",
    ),
    "names as objects": (
        dict(image=IMAGES, label=LABELS, class_names=np.array(["a", "b", None])),
        "class_names: dtype is object; wanted str",
    ),
    "a name that moves the cursor": (
        dict(image=IMAGES, label=LABELS, class_names=np.array(["a", "b", "\x1b[2J"])),
        r"class name '\\x1b\[2J' cannot be printed",
    ),
    "a name without letters": (
        dict(image=IMAGES, label=LABELS, class_names=np.array(["a", "b", ""])),
        "class name '' cannot be printed",
    ),
    "a trillion images": (
        dict(image=header((10**12, 64, 64, 3)), label=LABELS),
        f"image: .* is {12288 * 10**12} bytes; at most {2**33} are read",
    ),
    "a gigabyte it has not": (
        dict(image=header((10**5, 64, 64, 3)), label=LABELS),
        "0 bytes are held; wanted 1228800000",
    ),
    "more than it says": (
        dict(image=encoded(IMAGES) + b"x", label=LABELS),
        "361 bytes are held; wanted 360",
    ),
    "a negative size": (dict(image=header((-1, -1, 1, 1)), label=LABELS), "shape is"),
    "an unknown version": (
        dict(image=header((1, 1, 1, 1), version=(3, 0)), label=LABELS),
        r"npy format \(3, 0\); wanted one of \(1, 0\), \(2, 0\)",
    ),
    "a header of code": (
        dict(image=header("__import__('os').abort()"), label=LABELS),
        "image: ",
    ),
    "a header without end": (
        dict(image=b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, label=LABELS),
        "image: ",
    ),
    "an empty member": (dict(image=b"", label=LABELS), "image: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_said_in_one_line(tmp_path, case):
    members, message = REFUSED[case]
    path = archive(tmp_path / "a.npz", **members)
    with pytest.raises(ValueError, match=message) as caught:
        npz.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_pickle_is_run(tmp_path):
    marker = tmp_path / "run"

    class Evil:
        def __reduce__(self):
            return marker.touch, ()

    for key in ("image", "label", "class_names"):
        members = {"image": IMAGES, "label": LABELS, "class_names": np.array(NAMES)}
        members[key] = np.array([Evil()], object)
        with pytest.raises(ValueError, match="dtype is object"):
            npz.load(archive(tmp_path / "a.npz", **members))
    assert not marker.exists()


def test_a_bomb_takes_no_memory(tmp_path):
    """A gigabyte of zeros in a megabyte; and a header that claims 10^12 images."""
    bomb = header((10**9, 1, 1, 1)) + bytes(10**7)
    cases = [header((10**12, 64, 64, 3)), header((10**12, 64, 64, 3), order=True), bomb]
    tracemalloc.start()
    try:
        for content in cases:
            path = archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, image=content, label=LABELS)
            tracemalloc.reset_peak()
            with pytest.raises(ValueError, match="bytes"):
                npz.load(path, max_bytes=10**6)
            assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_the_limit_is_the_callers(tmp_path):
    path = tmp_path / "a.npz"
    npz.save(path, IMAGES, LABELS, NAMES, META)
    npz.load(path, max_bytes=IMAGES.nbytes)
    with pytest.raises(ValueError, match=r"is 360 bytes; at most 359 are read"):
        npz.load(path, max_bytes=IMAGES.nbytes - 1)


def test_an_archive_that_lies_about_what_it_holds_is_refused(tmp_path):
    """The directory promises 10^8 bytes and so does the header; 360 come."""
    path = archive(tmp_path / "a.npz", image=header((10**8, 1, 1, 1)) + bytes(360), label=LABELS)
    whole = path.read_bytes()
    start = len(header((10**8, 1, 1, 1)))
    lie = whole.replace(struct.pack("<I", start + 360), struct.pack("<I", start + 10**8))
    path.write_bytes(lie)
    with pytest.raises(ValueError, match="image: "):
        npz.load(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_and_a_cut_are_noticed(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, image=IMAGES, label=LABELS)
    whole = path.read_bytes()
    middle = whole.index(b"\n", 60) + 100  # among the pixels
    flipped = bytearray(whole)
    flipped[middle] ^= 4
    for broken in (bytes(flipped), whole[: len(whole) // 2], whole[:-30], b"", b"not a zip"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.npz: "):
            npz.load(path)


def test_an_array_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file, pytest.warns(UserWarning, match="Dupl"):
        file.writestr("image.npy", encoded(IMAGES))
        file.writestr("image.npy", encoded(IMAGES[::-1].copy()))
    with pytest.raises(ValueError, match="an array is there twice"):
        npz.load(tmp_path / "a.npz")


def test_names_that_climb_out_of_the_folder_are_never_written(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    members = {"../outside": IMAGES, "/tmp/ddpm_jax_outside": IMAGES}
    path = archive(inner / "a.npz", image=IMAGES, label=LABELS, **members)
    np.testing.assert_array_equal(source.decode(npz.load(path)), IMAGES)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["a.npz"]


def test_a_long_header_is_read(tmp_path):
    """Format 2.0, which NumPy writes when a header outgrows 64 KiB."""
    file = io.BytesIO()
    np.lib.format.write_array(file, IMAGES, version=(2, 0))
    path = archive(tmp_path / "a.npz", image=file.getvalue(), label=LABELS)
    np.testing.assert_array_equal(source.decode(npz.load(path)), IMAGES)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (None, "has no meta"),
        (np.array("{"), "meta is not JSON"),
        (np.array("[1]"), "meta is a JSON list; wanted an object"),
        (np.array(3), "meta: dtype is int64; wanted str"),
    ],
)
def test_meta_that_is_no_json_object_is_refused(tmp_path, meta, message):
    members = {} if meta is None else {"meta": meta}
    with pytest.raises(ValueError, match=message):
        npz.load_meta(archive(tmp_path / "a.npz", image=IMAGES, **members))


def test_meta_must_be_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        npz.save(tmp_path / "a.npz", IMAGES, LABELS, NAMES, {"loss": float("nan")})
