"""Whatever lies in a folder, reading it gives images or a ValueError of one line, and does nothing else."""

import os
import shutil

import fuzzing
import numpy as np
import pytest
from hypothesis import strategies as st
from test_strangers_files import IMAGES, encoded_images, run

from ddpm_jax.data import folder

GOOD = next(iter(encoded_images()))
NAMES = st.sampled_from(
    [
        "a",
        "b",
        "c.png",
        "d.JPG",
        "e.txt",
        ".hidden",
        ".png",
        "f\n.png",
        "g\u202e.png",
        "h\udcff.png",
        " .gif",
    ]
) | st.text("ab. \0\n\ud800é", max_size=6).map(lambda name: f"{name}.png")
KINDS = st.sampled_from(
    ["image", "image", "bytes", "folder", "pipe", "out", "loop", "nowhere", "inside"]
)
ENTRY = st.tuples(NAMES, KINDS, IMAGES)
WILD = st.lists(
    st.tuples(NAMES, KINDS | st.just("folder"), st.lists(ENTRY, max_size=4)), max_size=3
)
SOUND = [("0.png", "image", b""), ("1.jpg", "image", b"")]
TREES = WILD | st.lists(ENTRY, max_size=2).map(
    lambda odd: [("a", "folder", SOUND), ("b", "folder", SOUND + odd)]
)


def put(path, kind, data, outside):
    """One entry of a folder; of a link, what it leads to."""
    match kind:
        case "image" | "bytes":
            with path.open("xb") as file:  # not into a pipe of the same name
                file.write(GOOD if kind == "image" else data)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            leads = {"out": outside, "loop": path, "nowhere": "nowhere", "inside": path.parent}
            path.symlink_to(leads[kind])


def plant(root, tree, outside):
    for class_name, class_kind, entries in tree:
        try:
            put(root / class_name, class_kind, GOOD, outside)
            for name, kind, data in entries if class_kind == "folder" else ():
                put(root / class_name / name, kind, data, outside / "secret.png")
        except (OSError, ValueError):  # no name for a file, or there is one already
            continue


def check(tree, place, counts):
    """`place` holds the folder to read, and beside it what must not be read."""
    root = place / "images"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    plant(root, tree, place / "outside")
    try:
        found = folder.load(root)
        images = [found.read(i) for i in range(len(found.labels))]
    except ValueError as error:
        assert str(error).isprintable(), repr(str(error))
        counts["refused"] += 1
    else:
        assert all(image.dtype == np.uint8 and image.shape[2] in (1, 3) for image in images)
        assert sorted(set(found.labels.tolist())) == list(range(len(found.class_names)))
        counts["read"] += 1


def fuzz(place, num):
    (place / "outside").mkdir()
    (place / "outside" / "secret.png").write_bytes(b"not an image: reading it would be an error")
    return run(TREES, lambda tree, counts: check(tree, place, counts), num, place)


@pytest.mark.filterwarnings("ignore")
def test_folders_of_strangers_are_refused_in_one_line(tmp_path):
    assert fuzz(tmp_path, 60)["read"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_folders_of_strangers_are_refused_within_bounded_memory(tmp_path, record_property):
    """`DDPM_JAX_FUZZ` folders; prints what became of them."""
    before = fuzzing.peak_mib()
    counts = fuzz(tmp_path, fuzzing.wanted())
    growth = fuzzing.peak_mib() - before
    record_property("counted", f"folders {counts}, peak memory +{growth:.0f} MiB")
    assert growth < 600
