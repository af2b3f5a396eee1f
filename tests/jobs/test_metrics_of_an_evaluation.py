"""A metric is one entry: what is added to the table is in the result, the summary, the page and the docs."""

import pathlib
import sys

import numpy as np
import pytest

from ddpm_jax import rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import compare, evaluate, report
from ddpm_jax.measuring import metrics
from ddpm_jax.reporting import distances

DOCS = pathlib.Path(__file__).parents[2] / "docs/evaluation.md"


@pytest.fixture
def config(config, monkeypatch):
    """Features that need no training."""
    module = type(sys)("their_features")
    module.mean = lambda images: images.mean(axis=(1, 2))
    monkeypatch.setitem(sys.modules, "their_features", module)
    config.evaluation.features, config.evaluation.likelihood_images = "their_features:mean", 0
    return config


@pytest.fixture
def toy(monkeypatch):
    def gap(features, reference):
        return float(features.mean() - reference.mean())

    metric = metrics.Metric(
        "mean_gap", metrics.beside_floor(gap), "how far apart the means are", "Toy 1999", "0",
        column="gap",
    )  # fmt: skip
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, metric))


def text_of(page):
    """The words of a table's rows, in order."""
    return " ".join(page.read_text().replace("</td>", " ").replace("<td>", " ").split())


def test_a_metric_that_is_added_is_found_everywhere(finished, config, toy, capsys):
    evaluate.run(config, finished)
    real = source.decode(datasets.build_splits(config.data, config.seed).test)
    made = npz.load(finished / "synthetic.npz").images
    found = rundir.result(finished, "evaluate")["mean_gap"]
    assert found["value"] == pytest.approx(made.mean() - real.mean(), rel=1e-4)
    shown = f"mean_gap {found['value']:.3g}"
    assert shown in capsys.readouterr().out
    report.run(config, finished)
    page = text_of(finished / "report.html")
    assert (
        "mean_gap" in page and f"{found['value']:.3f}" in page and f"{found['floor']:.3f}" in page
    )
    assert "how far apart the means are (Toy 1999)" in page
    table = compare.several([finished], finished)
    assert table["columns"][-1] == "gap" and table["rows"][0][-1] == f"{found['value']:.3g}"
    assert (
        "| `mean_gap` | how far apart the means are (Toy 1999) | 0 |" in distances.table_for_docs()
    )


def test_the_best_of_a_share_is_the_floors(finished):
    fields = rundir.result(finished, "evaluate")
    table, _ = distances.section(finished / "figures", {"evaluate": fields})
    rows = {row[0]: row[1:] for row in table.rows}
    for name in ("precision", "recall", "density", "coverage"):
        floor = f"{fields['manifold']['floor'][name]:.3f}"
        assert rows[name] == [f"{fields['manifold'][name]:.3f}", floor, floor]
    assert [rows[name][-1] for name in rows if name.startswith("kernel")] == ["0"]


def test_a_metric_that_an_earlier_version_did_not_measure_is_left_out(finished, toy):
    fields = rundir.result(finished, "evaluate")
    assert "mean_gap" not in [one.name for one in distances.shown(fields)]
    assert distances.cells(fields)[-1] == "-" and distances.cells(None) == ["-", "-", "-"]
    assert "mean_gap" not in "".join(distances.summary(fields))


@pytest.mark.parametrize("official", [True, False])
def test_entries_of_one_field_agree_and_every_field_is_found_again(official):
    """A shared field is computed once, by the first entry's function."""
    network = metrics.Network("conv4", "", "", np.asarray, None, 1, official)
    computed = {}
    for metric in metrics.METRICS:
        for reference in ("test", "train+validation"):
            name = metrics.field_name(metric, network, reference)
            assert metrics.found_in(metric, {"n": 3, name: {}}) == name
            assert computed.setdefault(name, metric.compute) is metric.compute


def test_the_docs_table_is_the_entries():
    assert distances.table_for_docs() in DOCS.read_text()
