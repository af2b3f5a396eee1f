"""What is published is read by the programs that it is for, and by this one."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from ddpm_jax import run_files, rundir
from ddpm_jax.assembly import datasets as sources
from ddpm_jax.data import npz, published, source
from ddpm_jax.jobs import publish
from ddpm_jax.reporting import card

NAMES = ("cat", "dog")
META = {"real": "digits", "solver": "ddim", "num_steps": 5, "seed": 3}


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        import datasets
    except ImportError:
        return
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("hf")))


def make(config, workdir, form, *, labelled=True, names=NAMES):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    labels = np.repeat(np.arange(2, dtype=np.int32), 20)
    images[labels == 1] //= 4  # a classifier can tell them
    npz.save(rundir.synthetic(workdir), images, labels if labelled else None, names, META)
    config.publish.format = form
    publish.run(config, workdir)
    return images, labels


def in_order(found):
    rows = sorted(range(len(found.labels)), key=lambda i: found.read(i).tobytes())
    return [(found.read(i).tobytes(), found.class_names[found.labels[i]]) for i in rows]


@pytest.mark.parametrize("form", ["images", "parquet"])
def test_datasets_and_scikit_learn_read_it(form, config, tmp_path):
    datasets = pytest.importorskip("datasets")
    from sklearn.linear_model import LogisticRegression

    images, labels = make(config, tmp_path, form)
    read = datasets.load_dataset(str(tmp_path / "published"), split="train")
    if form == "images":
        read = read.class_encode_column("label")
    assert read.features["label"] == datasets.ClassLabel(names=list(NAMES))
    assert isinstance(read.features["image"], datasets.Image)
    pixels = np.stack([np.asarray(image) for image in read["image"]])
    assert (pixels == images[..., 0]).all() and list(read["label"]) == labels.tolist()
    flat = pixels.reshape(40, -1) / 255
    assert LogisticRegression().fit(flat, read["label"]).score(flat, labels) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant uses
@pytest.mark.parametrize("form", ["images", "parquet"])
def test_mlcroissant_accepts_its_metadata_and_reads_the_records(form, config, tmp_path):
    croissant = pytest.importorskip("mlcroissant")
    _, labels = make(config, tmp_path, form)
    found = croissant.Dataset(jsonld=tmp_path / "published" / "croissant.json")
    assert not found.metadata.ctx.issues.errors
    rows = list(found.records("images"))
    expected = [NAMES[label].encode() for label in labels] if form == "images" else labels.tolist()
    assert [row["images/label"] for row in rows] == expected


@pytest.mark.parametrize("form", ["images", "parquet"])
def test_each_image_is_marked(form, config, tmp_path):
    make(config, tmp_path, form)
    root = tmp_path / "published"
    if form == "images":
        encoded = [file.read_bytes() for file in root.rglob("*.png")]
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        encoded = [
            row["bytes"] for row in parquet.read_table(root / "data.parquet")["image"].to_pylist()
        ]
    assert len(encoded) == 40
    for data in encoded:
        text = Image.open(io.BytesIO(data)).text["XML:com.adobe.xmp"]
        assert f"<Iptc4xmpExt:DigitalSourceType>{published.SYNTHETIC}<" in text


@pytest.mark.parametrize(
    ("form", "kind"), [("images", "folder"), ("images", "hf"), ("parquet", "hf")]
)
def test_it_is_a_source(form, kind, config, tmp_path):
    if kind == "hf":
        pytest.importorskip("datasets")
    images, labels = make(config, tmp_path, form)
    found = sources.whole(config.data, f"{kind}:{tmp_path / 'published'}", 0)
    assert found.class_names == NAMES
    expected = source.from_arrays(images, labels, NAMES, "")
    assert in_order(found) == in_order(expected)


def test_an_unlabelled_set_has_no_class_folders(config, tmp_path):
    make(config, tmp_path, "images", labelled=False)
    root = tmp_path / "published"
    assert len(list(root.glob("*.png"))) == 40
    assert set(json.loads((root / "metadata.jsonl").read_text().splitlines()[0])) == {"file_name"}
    assert "class_label" not in (root / "README.md").read_text()


def test_an_unlabelled_parquet_file_has_images_alone(config, tmp_path):
    datasets = pytest.importorskip("datasets")
    images, _ = make(config, tmp_path, "parquet", labelled=False)
    read = datasets.load_dataset(str(tmp_path / "published"), split="train")
    assert list(read.features) == ["image"]
    assert (np.stack([np.asarray(image) for image in read["image"]]) == images[..., 0]).all()


@pytest.mark.parametrize("form", ["images", "parquet"])
def test_names_that_no_folder_can_have_are_kept(form, config, tmp_path):
    datasets = pytest.importorskip("datasets")
    names = ("größe/ä", '"quoted", with a comma 😀')
    _, labels = make(config, tmp_path, form, names=names)
    read = datasets.load_dataset(str(tmp_path / "published"), split="train")
    kind = read.features["label"]
    found = [row if form == "images" else kind.int2str(row) for row in read["label"]]
    assert found == [names[label] for label in labels]


def test_folder_names_are_safe_and_differ():
    names = published.folder_names(["cat", "a/b", "a b", "..", "Cat", "größe", "a_b_1"])
    assert names == ["cat", "a_b_1_", "a_b_2", "___3", "Cat_4", "gr__e_5", "a_b_1"]


def test_it_is_made_again_only_when_what_it_read_changed(config, tmp_path, capsys):
    make(config, tmp_path, "images")
    capsys.readouterr()
    publish.run(config, tmp_path)
    assert "up to date" in capsys.readouterr().out
    card = (tmp_path / "published" / "README.md").read_text()
    assert "It was not measured" in card and "Nobody has looked for copies" in card
    rundir.write_json(
        rundir.result_path(tmp_path, "copies"), {"share": 0.01, "expected_share": 0.02}
    )
    publish.run(config, tmp_path)
    assert "1.0 % of the images are copies" in (tmp_path / "published" / "README.md").read_text()


@pytest.mark.parametrize(("start", "said"), [(1.0, False), (0.2, True)])
def test_the_card_says_where_images_began(start, said):
    text = card.write("x", 40, NAMES, META | {"start": start}, {}, "data/*.parquet")
    assert ("each from a real training image of its class that was noised to 0.2" in text) == said


def test_numbers_of_other_images_are_left_out_of_the_card(config, tmp_path, capsys):
    make(config, tmp_path, "images")
    digest = hashlib.sha256(rundir.synthetic(tmp_path).read_bytes()).hexdigest()
    fields = {"share": 0.125, "expected_share": 0.01, "exact": 0, "n": 40, "n_test": 100}

    def card(of):
        reads = {"fields": {}, "files": {run_files.SYNTHETIC: of}}
        path = rundir.result_path(tmp_path, "copies")
        rundir.write_json(path, fields | {"reads": reads})
        publish.run(config, tmp_path)
        return (tmp_path / "published/README.md").read_text()

    assert "12.5" in card(digest)
    assert "12.5" not in card("another")
    assert "copies.json is of other images; run --mode=copies" in capsys.readouterr().out
