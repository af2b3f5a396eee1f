"""The tables of docs/performance.md are those of the result files that they name."""

import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FORWARD = (
    ("cpu2_gray64_step", "forward", "gray64", 16),
    ("cpu2_gray64_train", "train", "gray64", 16),
    ("cpu2_cifar10_sampler", "forward", "cifar10", 8),
    ("cpu2_cifar10_sampler", "forward", "cifar10", 16),
    ("cpu2_cifar10", "train", "cifar10", 8),
    ("cpu2_cifar10", "train", "cifar10", 16),
    ("cpu2_sampler", "sampler", "digits", 64),
    ("cpu2_sampler", "sampler", "gray64", 64),
    ("cpu2_cifar10_sampler", "sampler", "cifar10", 64),
    ("cpu2_avx2_gray64_forward", "forward", "gray64", 16),
    ("cpu2_avx2_gray64_train", "train", "gray64", 16),
    ("cpu2_avx2_cifar10", "forward", "cifar10", 8),
    ("cpu2_avx2_cifar10", "train", "cifar10", 8),
    ("cpu2_avx2_sampler", "sampler", "digits", 64),
)
"""File, what, network and batch of each row, in the page's order."""
LOOP = (
    ("cpu2_loop", "loop", "digits", "ddpm_jax"),
    ("cpu2_loop", "loop", "digits", "ddpm_jax x5"),
    ("cpu2_loop", "loop", "digits", "ddpm_jax x5 resident"),
    ("cpu2_loop_fashion", "loop", "fashion", "ddpm_jax"),
    ("cpu2_loop", "loop", "fashion", "ddpm_jax x5"),
    ("cpu2_loop", "data", "digits", "ddpm_jax"),
    ("cpu2_loop", "data", "fashion", "ddpm_jax"),
    ("cpu2_avx2_loop", "loop", "digits", "ddpm_jax"),
    ("cpu2_avx2_loop_fashion", "loop", "fashion", "ddpm_jax"),
)


def result(file):
    return json.loads((ROOT / f"benchmarks/results/{file}.json").read_text())


def measured(file, what, network, batch=None):
    """The row of the result, and the run's peak."""
    found = result(file)
    (row,) = (
        row
        for row in found["rows"]
        if (row["what"], row["network"]) == (what, network) and batch in (None, row.get("batch"))
    )
    return row, found.get("peak", {}).get("gflop_per_second")


def table(heading):
    """The cells of the rows below a heading."""
    page = (ROOT / "docs/performance.md").read_text()
    lines = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def time(seconds):
    return f"{1000 * seconds:.0f} ms" if seconds < 5 else f"{seconds:.1f} s"


@pytest.mark.parametrize("number", range(len(FORWARD)))
def test_times_and_ratios_against_diffusers(number):
    rows = table("Forward pass, training step, sampler")
    assert len(rows) == len(FORWARD)
    cells, (row, _) = rows[number], measured(*FORWARD[number])
    for cell, library in zip(cells[1:3], ("ddpm_jax", "diffusers"), strict=True):
        assert cell.partition(",")[0] == time(row["median"][library])
    assert cells[3] == f"{row['ratio']['ddpm_jax']:.2f}"
    bar = cells[4].partition(":")[0]
    assert not bar or row["ratio"]["ddpm_jax"] >= float(bar)


@pytest.mark.parametrize("number", [n for n, row in enumerate(FORWARD) if row[1] != "sampler"])
def test_shares_of_the_peak_are_of_each_librarys_own_gflop(number):
    cells, (row, peak) = (
        table("Forward pass, training step, sampler")[number],
        measured(*FORWARD[number]),
    )
    for cell, library in zip(cells[1:3], ("ddpm_jax", "diffusers"), strict=True):
        own = row["facts"][library].get("gflop", row["facts"]["ddpm_jax"]["gflop"])
        share = 100 * own / row["median"][library] / peak
        assert cell.partition(", ")[2].startswith(f"{share:.0f} %")


@pytest.mark.parametrize("number", range(len(LOOP)))
def test_times_and_ratios_of_the_loop(number):
    rows, (file, what, network, way) = table("Loop with real data"), LOOP[number]
    assert len(rows) == len(LOOP)
    row, _ = measured(file, what, network)
    assert rows[number][3].startswith(f"{row['ratio'][way]:.2f}")
    batches = row["facts"][way].get("batches", 1)
    milliseconds = 1000 * row["median"][way] / batches
    assert rows[number][1].startswith(f"{milliseconds:.{2 if what == 'data' else 0}f} ms")


@pytest.mark.parametrize(("number", "file"), [(0, "cpu2_launch"), (1, "cpu2_avx2_launch")])
def test_times_from_launch_to_the_first_step(number, file):
    row, _ = measured(file, "launch", "digits")
    empty, filled, ratio, _, over_peer = table("From launch to the first step")[number][:5]
    assert (empty, filled) == (time(row["median"]["cold"]), time(row["median"]["cached"]))
    assert ratio == f"{row['cached_over_cold']:.2f}"
    assert over_peer == ", ".join(
        f"{value:.1f}" for value in row.get("over_diffusers", {}).values()
    )


def test_predictions_beside_what_was_measured():
    rows = table("Prediction of a run")[:-1]  # the last is a GPU's
    found = [
        (unit, fields)
        for case in result("cpu2_avx2_plan")["cases"].values()
        for unit, fields in case["compared"].items()
    ]
    assert len(rows) == len(found)
    for cells, (unit, fields) in zip(rows, found, strict=True):
        text = "{:.0f} MiB" if unit == "memory_mib" else "{:.1f} s"
        assert cells[2:4] == [text.format(fields[name]) for name in ("predicted", "measured")]
        assert cells[4].startswith(f"{fields['ratio']:.2f}")


def test_the_classifiers_step_against_pytorch():
    wanted = []
    for file, processor in (("cpu2_avx512_classifier", "A"), ("cpu2_classifier", "C")):
        for row in result(file)["rows"]:
            side = {"classifier_8": "8x8x1", "classifier_28": "28x28x1", "classifier_32": "32x32x3"}
            times = [f"{1000 * row['median'][name]:.1f} ms" for name in ("ddpm_jax", "diffusers")]
            ratio = f"{row['ratio']['ddpm_jax']:.2f}"
            wanted.append([side[row["network"]], *times, ratio, f"`{file}`", processor])
    assert table("The classifier's step") == wanted
