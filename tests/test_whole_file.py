import numpy as np
import pytest
from PIL import Image

from ddpm_jax import whole_file
from ddpm_jax.viz import pictures, plots


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
