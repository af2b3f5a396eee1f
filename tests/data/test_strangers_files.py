"""Whatever bytes are in a file, reading it gives an image, a source, or a ValueError of one line."""

import io
import zipfile

import deeds
import fuzzing
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from PIL import Image

from ddpm_jax.data import image_file, npz

SEED_IMAGE = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def encoded_images():
    """One valid file of each kind that is read, to be damaged."""
    for kind in image_file.FORMATS:
        for image in (Image.fromarray(SEED_IMAGE), Image.fromarray(SEED_IMAGE[..., 0])):
            file = io.BytesIO()
            image.save(file, kind)
            yield file.getvalue()


def archives():
    """Valid archives, stored and compressed, with either pair of keys."""
    images = np.stack([SEED_IMAGE] * 3)
    labels = np.array([0, 1, 0], np.int32)
    for save in (np.savez, np.savez_compressed):
        for arrays in (
            {"image": images, "label": labels, "class_names": np.array(["a", "b"])},
            {"arr_0": images, "arr_1": labels},
        ):
            file = io.BytesIO()
            save(file, **arrays)
            yield file.getvalue()


@st.composite
def headers(draw):
    """An archive that is sound, around an array header that need not be."""
    shape = draw(st.lists(st.integers(-2, 2**70) | st.integers(0, 4), max_size=6).map(tuple))
    descr = draw(
        st.sampled_from(
            ["|u1", "<i4", ">i8", "<U3", "|O", "<f4", "|V8", "|S2", "<U0", "M8[ns]", "?"]
        )
        | st.text(max_size=5)
    )
    text = repr({"descr": descr, "fortran_order": draw(st.booleans()), "shape": shape})
    text = draw(st.sampled_from([text, text[:-1], text * 2, f"[{text}]", "(" * 300]))
    data = text.encode("utf-8", "surrogatepass")
    version = draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\x09\0"]))
    length = len(data).to_bytes(2 if version == b"\1\0" else 4, "little")
    body = draw(st.binary(max_size=64))
    file = io.BytesIO()
    compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(file, "w", compression) as archive:
        for key in draw(st.sampled_from([("image", "label"), ("arr_0",), ("arr_0", "arr_1")])):
            archive.writestr(f"{key}.npy", b"\x93NUMPY" + version + length + data + body)
    return file.getvalue()


@st.composite
def arrays(draw):
    """A sound archive of sound arrays that need not fit together."""
    dtype = st.sampled_from(["u1", "i4", "<u8", "f4", "U2", "?"])
    any_array = numpy_strategies.arrays(
        dtype, numpy_strategies.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3)
    )
    n = draw(st.integers(1, 4))
    images = numpy_strategies.arrays("u1", st.just((n, 2, 2, 3))) | any_array
    labels = numpy_strategies.arrays("i4", n, elements=st.integers(-1, 3)) | any_array
    names = st.just(np.array(["a", "b", "c"])) | any_array
    members = {"image": draw(images), "label": draw(labels), "class_names": draw(names)}
    kept = {key: array for key, array in members.items() if draw(st.integers(0, 4))}
    file = io.BytesIO()
    np.savez(file, **kept)
    return file.getvalue()


@st.composite
def damaged(draw, seeds):
    """A valid file with a few bytes replaced, cut out or put in; or no file at all."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                data[at : at + 4] = draw(st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f" * 4]))
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.binary(max_size=20))
    return bytes(data)


def check_image(data, counts):
    try:
        pixels = image_file.read(data, "a.png")
    except ValueError as error:
        assert str(error).startswith("a.png: ")
        assert "\n" not in str(error)
        counts["refused"] += 1
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] in (1, 3)
        counts["read"] += 1


def check_archive(data, path, counts):
    path.write_bytes(data)
    try:
        read = npz.load(path, max_bytes=2**24)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
        counts["refused"] += 1
    else:
        assert read.images.dtype == np.uint8
        assert read.images.ndim == 4
        assert len(read.labels) == len(read.images)
        assert 0 <= read.labels.min() <= read.labels.max() < len(read.class_names)
        counts["read"] += 1


def run(strategy, check, examples, folder):
    """What became of the examples, none of which may do anything outside of `folder`."""
    counts = {"read": 0, "refused": 0}

    @fuzzing.settings(examples)
    @hypothesis.given(strategy)
    def examine(data):
        with deeds.outside(folder) as done:
            check(data, counts)
        assert not done

    examine()
    assert counts["refused"] > 0
    return counts


IMAGES = damaged(list(encoded_images())) | st.binary(max_size=200)
ARCHIVES = st.one_of(
    damaged(list(archives())),
    headers(),
    arrays(),
    st.binary(max_size=200),
)


@pytest.mark.filterwarnings("ignore")
def test_damaged_images_are_refused_in_one_line(tmp_path):
    assert run(IMAGES, check_image, 300, tmp_path)["read"] > 0


def test_damaged_archives_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.npz"
    assert run(ARCHIVES, lambda d, c: check_archive(d, path, c), 300, tmp_path)["read"] > 0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_damaged_files_are_refused_within_bounded_memory(tmp_path, record_property):
    """`DDPM_JAX_FUZZ` files of each kind; prints what became of them."""
    examples = fuzzing.wanted()
    path = tmp_path / "a.npz"
    before = fuzzing.peak_mib()
    images = run(IMAGES, check_image, examples, tmp_path)
    arrays = run(ARCHIVES, lambda d, c: check_archive(d, path, c), examples, tmp_path)
    growth = fuzzing.peak_mib() - before
    record_property("counted", f"images {images}, npz {arrays}, peak memory +{growth:.0f} MiB")
    assert list(tmp_path.iterdir()) == [path]
    assert growth < 600  # one image of 2^26 pixels is 200 MB, twice while it is converted
