import numpy as np
import pytest
from PIL import Image

from ddpm_jax import metrics, whole_file
from ddpm_jax.data import npz
from ddpm_jax.evaluation import features, inception_weights
from ddpm_jax.training import manifest
from ddpm_jax.viz import pictures, plots

IMAGES = np.zeros((4, 2, 2, 1), np.uint8)
FEATURES = np.arange(8.0).reshape(4, 2)
WRITERS = {
    "images": lambda folder: npz.save(folder / "a", IMAGES, None, (), {}),
    "features": lambda folder: features.extract(
        lambda batch: FEATURES, IMAGES, batch_size=4, folder=folder, network_digest="a"
    ),
    "moments": lambda folder: features.reference_moments(
        lambda: FEATURES, IMAGES, folder=folder, network_digest="a"
    ),
    "weights": lambda folder: inception_weights.save(
        folder / "a", inception_weights.Weights({}, np.zeros((1008, 2048), np.float32), "")
    ),
    "manifest": lambda folder: manifest.write(folder, {}),
    "metrics": lambda folder: metrics.keep_until(folder / "metrics.jsonl", 1),
}


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.npz"
    path.write_text("before")
    with pytest.raises(RuntimeError), whole_file.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_while_it_is_written_a_file_is_not_found_under_its_ending(tmp_path):
    with whole_file.replacing(tmp_path / "new" / "x.png") as temporary:
        temporary.write_text("half")
        assert not list(tmp_path.rglob("*.png"))
    assert [path.name for path in tmp_path.rglob("*.png")] == ["x.png"]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_writer_leaves_what_was_there_where_the_disk_is_full(write, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = {"a": b"before", manifest.NAME: b"before", "metrics.jsonl": b'{"step": 1}\n'}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as patched:
        patched.setattr(whole_file.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    write(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.gif", "plot.png"])
def test_a_picture_is_there_whole_or_as_it_was(name, tmp_path, monkeypatch):
    def half(self, file, *rest, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / name
    path.write_text("before")
    picture = np.zeros((4, 4, 3), np.uint8)
    curves = {"line": plots.Curve(np.arange(3.0), np.arange(3.0))}
    save = {
        "a.png": lambda: pictures.save(path, picture),
        "a.gif": lambda: pictures.gif(path, [picture]),
        "plot.png": lambda: plots.save(path, plots.lines(curves, x_label="x", y_label="y")),
    }[name]
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", half)
        patched.setattr("matplotlib.figure.Figure.savefig", half)
        with pytest.raises(OSError, match="No space left"):
            save()
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    save()
    with Image.open(path) as image:
        assert image.format == path.suffix[1:].upper()
