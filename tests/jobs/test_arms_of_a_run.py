"""Arms with suffixes on real digits, from --mode=classify to the table, the sentence and the page."""

import pytest

from ddpm_jax import rundir
from ddpm_jax.assembly import datasets
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import classify, compare
from ddpm_jax.reporting import accuracies

ARMS = (
    "real",
    "synthetic, augmented",
    "real+synthetic",
    "real+synthetic, selected, soft, augmented",
    "real, soft, augmented",
)
WRONG = 100


@pytest.mark.usefixtures("compiled_quickly")
def test_arms_with_suffixes_are_trained_counted_and_named(config, tmp_path, capsys):
    """Real training images stand for synthetic ones; the labels of 100 of them are wrong."""
    splits = datasets.build_splits(config.data, config.seed)
    made = source.take(splits.train, range(300))
    labels = made.labels.copy()
    labels[:WRONG] = (labels[:WRONG] + 3) % 10
    npz.save(tmp_path / "made.npz", source.decode(made), labels, made.class_names, {})
    config.classifier.arms, config.classifier.num_steps = ARMS, 60
    config.classifier.batch_size = 64
    config.classifier.ensemble.num, config.classifier.synthetic_share = 2, 0.5
    found = classify.run.on(config, tmp_path, tmp_path / "made.npz")["arms"]
    assert list(found) == [*ARMS]
    num_real = len(splits.train.labels)
    kept = found[ARMS[3]]["n_synthetic"]
    assert 200 <= kept + WRONG // 2 and kept <= 200 + WRONG // 10
    assert [arm["n_synthetic"] for arm in found.values()] == [0, 300, 300, kept, 0]
    sizes = [num_real, 300, num_real + 300, num_real + kept, num_real]
    assert [arm["n_train"] for arm in found.values()] == sizes
    assert all(arm["accuracy"] > 0.5 for arm in found.values())

    sentence = compare.run(config, tmp_path)["sentence"]
    assert "adding it to real: " in sentence and "real, soft, augmented: " in sentence
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(ARMS)]
    rows = lines[-len(ARMS) - 1 : -1]  # the last line is the sentence
    # Numbers stand under each other, however long the names are.
    assert len({row.index(f"{size:>8}") for row, size in zip(rows, sizes, strict=True)}) == 1
    assert (rundir.figures(tmp_path) / "confusion-real-soft-augmented.png").exists()
    result = rundir.result(tmp_path, "classify")
    table, *_ = accuracies.arms(rundir.figures(tmp_path), {"classify": result})
    assert [row[0] for row in table.rows] == [
        "real images",
        "synthetic images only; augmented in the training",
        "real and synthetic",
        "real and synthetic; labels that an ensemble agrees with; labels as probabilities; "
        "augmented in the training",
        "real images; labels as probabilities; augmented in the training",
    ]
