"""The page of a run: read back, with all stages and with few, and opened in a browser."""

import html.parser
import re
import shutil
import subprocess

import pytest

from ddpm_jax import rundir
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import compare, report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PROBE = """<script>
addEventListener("load", () => {
  const inside = document.querySelector("iframe").contentDocument, images = [...inside.images];
  const decoded = images.filter(image => image.complete && image.naturalWidth > 0).length;
  const beyond = inside.documentElement.scrollWidth - inside.documentElement.clientWidth;
  document.title = `${decoded} of ${images.length} images, ${beyond} pixels beyond`;
});
</script>"""


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.words, self.titles, self.alts, self.tag = [], [], [], ""
        self.feed(path.read_text("utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag == "img":
            self.alts.append(dict(attrs)["alt"])

    def handle_data(self, data):
        self.words.append(data)
        if self.tag == "h2" and data.strip():
            self.titles.append(data)


def change(workdir, stage, edit):
    path = rundir.result_path(workdir, stage)
    fields = rundir.read_json(path)
    edit(fields)
    rundir.write_json(path, fields)


def test_the_page_of_the_whole_chain_shows_every_part(finished, config, capsys):
    report.run(config, finished)
    page = Page(finished / "report.html")
    said = capsys.readouterr().out.partition("\n")[0]
    assert said.startswith("[report] Should I add these images? ") and " +- " in said
    assert said.removeprefix("[report] ").replace("+-", "±") in page.text
    assert page.titles == [
        "In short", "Samples", "From noise to images", "What it is worth to a classifier",
        "How far from real images", "Does it copy?", "Training", "How every number was made",
    ]  # fmt: skip
    sentence = rundir.result(finished, "compare")["sentence"].replace("+-", "±")
    assert sentence in page.text
    assert "this is not an FID" in page.text and "frechet_conv4" in page.text
    assert "real, and duplicates of them" in page.text
    for name in ("evaluate", "train", "classify"):
        assert rundir.result(finished, name)["inputs"] in page.text
    assert rundir.result(finished, "train")["params_sha256"] in page.text
    assert all(page.alts) and len(page.alts) >= 10
    assert (finished / "figures/loss.png").exists()
    assert not list(finished.glob(".report*"))


def test_the_time_of_a_resumed_training_is_that_since_it_was_resumed(finished, config):
    report.run(config, finished)
    assert "since step" not in Page(finished / "report.html").text
    change(finished, "train", lambda fields: fields.update(resumed_at=3))
    report.run(config, finished)
    assert " s since step 3, " in Page(finished / "report.html").text


def test_a_model_that_copies_is_warned_of_first(finished, config):
    change(finished, "evaluate", lambda fields: fields["memorization"].update(copies=True))
    report.run(config, finished)
    text = Page(finished / "report.html").text
    assert text.index("The model copies its training images") < text.index(
        "Accuracy on real images of"
    )
    assert "It copies: more samples" in text


def test_measurements_that_a_run_may_lack_or_have(finished, config):
    def edit(fields):
        fields["fid"] = fields.pop("frechet_conv4") | {"at_infinity": 1.5, "floor_at_infinity": 0.5}
        fields["kid"] = fields.pop("kernel_conv4")
        fields["distance"] = "fid"
        fields["memorization"] = {"copies": None, "why": "20 test images, 99 needed"}
        part = {"mean": 2.5, "standard_error": 0.1}
        fields["likelihood"] = {
            "n": 8, "of": "test images", "checkpoint": 6, "num_steps": 4, "bound": part,
            "prior": part, "diffusion": part, "decoder": part, "flow": part,
        }  # fmt: skip

    change(finished, "evaluate", edit)
    report.run(config, finished)
    page = Page(finished / "report.html")
    assert "FID, without the bias of few images 1.5 0.5 0" in page.text and "KID" in page.text
    floor = f"{rundir.result(finished, 'evaluate')['fid']['floor']:.4g}"
    assert f"{floor} {floor}" in page.text  # the plain distance's best is the floor's
    assert "not an FID" not in page.text
    assert "Not judged: 20 test images, 99 needed." in page.text
    assert "Likelihood" in page.titles and "variational bound 2.500 ± 0.196" in page.text


def test_an_evaluation_of_an_earlier_version_is_left_out_and_said(finished, config, capsys):
    change(finished, "evaluate", lambda fields: fields.pop("distance"))
    report.run(config, finished)
    assert "evaluate.json is an earlier version's" in capsys.readouterr().out
    assert "Not made yet: --mode=evaluate" in Page(finished / "report.html").text


def test_missing_stages_are_named_and_the_rest_is_shown(model, config):
    report.run(config, model)
    page = Page(model / "report.html")
    assert page.titles == ["In short", "Training", "How every number was made"]
    assert "Not made yet: --mode=sample, --mode=export" in page.text


def test_a_classifier_without_a_generator_has_a_page(finished, config):
    for stage in ("train", "sample", "export", "evaluate", "compare"):
        rundir.result_path(finished, stage).unlink()
    report.run(config, finished)
    assert "What it is worth to a classifier" in Page(finished / "report.html").titles


def test_an_empty_directory_is_refused(config, tmp_path):
    with pytest.raises(FileNotFoundError, match="run --mode=all first"):
        report.run(config, tmp_path)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_errors(finished, config, tmp_path, width):
    # In a frame of the wanted width: a window cannot be made as narrow as a phone.
    report.run(config, finished)
    frame = f'<iframe src="report.html" style="border:0;width:{width}px;height:900px"></iframe>'
    probe = finished / "probe.html"
    probe.write_text(f"<!DOCTYPE html><title>unset</title>{frame}{PROBE}", "utf-8")
    browser = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
            "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
            "--allow-file-access-from-files", "--enable-logging=stderr", "--window-size=1400,1000",
            "--timeout=20000", "--dump-dom", probe.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in browser.stderr
    shown = re.search(r"<title>(\d+) of (\d+) images, (\d+) pixels", browser.stdout).groups()
    assert shown[0] == shown[1] and int(shown[0]) >= 10 and shown[2] == "0"


def test_results_of_other_images_than_the_runs_are_left_out_and_said(finished, config, capsys):
    """Images that were drawn again once stood beside the old images' accuracies."""
    images = npz.load(finished / "synthetic.npz")
    other = 255 - source.decode(images)
    npz.save(finished / "synthetic.npz", other, images.labels, images.class_names, {})
    report.run(config, finished)
    said, page = capsys.readouterr().out, Page(finished / "report.html")
    for mode in ("evaluate", "classify"):
        assert f"results/{mode}.json is of other synthetic images; run --mode={mode}" in said
        assert f"--mode={mode}" in page.text
    assert "What it is worth to a classifier" not in page.titles
    assert "Not known yet: no classifier was trained on them." in page.text


def test_the_sentence_of_accuracies_is_that_of_the_table_below_it(finished, config):
    """--mode=compare is asked for by itself, so its sentence may be older."""
    drawn = finished / "figures/arms.png"
    before = drawn.read_bytes()
    change(finished, "classify", lambda fields: fields["arms"]["real"].update(accuracy=0.125))
    report.run(config, finished)
    assert "trained on real: 12.5 ±" in Page(finished / "report.html").text
    assert drawn.read_bytes() != before


def test_arms_without_the_baseline_have_no_table(finished, config, capsys):
    change(finished, "classify", lambda fields: fields["arms"].pop("real"))
    report.run(config, finished)
    assert "results/classify.json has no arm 'real'" in capsys.readouterr().out
    with pytest.raises(rundir.Inapplicable, match="not on 'real'"):
        compare.run(config, finished)


def test_who_has_not_seen_the_test_images_is_said_of_the_runs_own_images_alone(finished, config):
    report.run(config, finished)
    assert (
        "neither the classifiers nor the generator have seen" in Page(finished / "report.html").text
    )
    rundir.result_path(finished, "train").unlink()
    report.run(config, finished)
    assert "which no classifier has seen" in Page(finished / "report.html").text


def test_a_floor_of_fewer_images_is_no_best_value(finished, config):
    report.run(config, finished)
    assert "The floor is what a perfect generator would get" in Page(finished / "report.html").text
    change(finished, "evaluate", lambda fields: fields.update(n_floor=fields["n"] - 1))
    report.run(config, finished)
    text = Page(finished / "report.html").text
    assert "The floor is of fewer images and therefore too high" in text
    assert "Fewer images raise it." in text and "a perfect generator" not in text
