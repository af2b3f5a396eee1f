"""--mode=compare: what the synthetic set is worth, as a table, a plot and one plain sentence."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir
from ddpm_jax.data import npz, source
from ddpm_jax.measuring import labelled
from ddpm_jax.reporting import accuracies, arms_sentences, runs
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures, plots


def run(
    config: ConfigDict, workdir: pathlib.Path, synthetic: pathlib.Path | None = None
) -> dict[str, Any]:
    """`synthetic`: the images that classifiers were trained on, if they are not the run's own."""
    synthetic = synthetic or rundir.synthetic(workdir)
    if not rundir.result_path(workdir, "classify").exists() and synthetic.exists():
        labelled.require_labels(synthetic)
    worth = rundir.result(workdir, "classify")
    files = run_files.open_for("compare", config, workdir, synthetic)
    if run_files.of_another_set(worth, run_files.digest_of(run_files.SYNTHETIC, files)):
        raise ValueError(
            f"{rundir.result_path(workdir, 'classify')} is of other images than {synthetic}; "
            "run --mode=classify"
        )
    if "real" not in worth["arms"]:
        raise rundir.Inapplicable(
            f"classifiers were trained on {', '.join(worth['arms'])}, not on 'real' (classifier.arms), which "
            "is the baseline"
        )
    sentence = arms_sentences.sentence(worth["arms"])
    print(arms_sentences.table(worth["arms"]))
    print(sentence, flush=True)
    if devices.is_writer():
        accuracies.draw(rundir.figures(workdir), worth)
        path = rundir.result_path(workdir, "compare")
        rundir.write_json(path, {"sentence": sentence, "arms": worth["arms"]})
    return {"sentence": sentence}


def several(workdirs: Sequence[pathlib.Path], workdir: pathlib.Path) -> dict[str, Any]:
    """Finished runs side by side: writes `results/runs.json` and `figures/runs.png` of `workdir`.

    Raises ValueError if they were tested on different images, or with different classifiers.
    """
    found: dict[str, Any] = {}
    for path in workdirs:
        name = path.resolve().name
        worth = rundir.result(path, "classify")
        if name in found:
            raise ValueError(f"--runs names two work directories called {name}")
        found[name] = (worth, evaluation_of_the_same(path, worth))
    runs.check_comparable(found)
    first, _ = next(iter(found.values()))
    fields = runs.table(found) | {
        "runs": {name: str(path) for name, path in zip(found, workdirs, strict=True)},
        "test_sha256": first["test_sha256"],
        "command": rundir.command(),
        "versions": rundir.versions(),
    }
    lines = (fields["columns"], *fields["rows"])
    print("\n".join("  ".join(f"{cell:<22}" for cell in row) for row in lines), flush=True)
    if devices.is_writer():
        plots.save(rundir.figures(workdir) / "runs.png", runs.plot(found))
        made = dict(zip(found, workdirs, strict=True))
        if (picture := samples_beside(made, first["class_names"])) is not None:
            pictures.save(rundir.figures(workdir) / "runs-samples.png", picture)
        rundir.write_json(rundir.result_path(workdir, "runs"), fields)
    return fields


def samples_beside(
    workdirs: Mapping[str, pathlib.Path], class_names: Sequence[str], each: int = 5
) -> pictures.Picture | None:
    """One row per class, with the first images that each run made of it; None if no run made any."""
    blocks = {}
    for name, path in workdirs.items():
        if rundir.synthetic(path).exists() and npz.has_labels(rundir.synthetic(path)):
            made = npz.load(rundir.synthetic(path))
            labels = [made.class_names[label] for label in made.labels]
            rows = [[i for i, at in enumerate(labels) if at == of][:each] for of in class_names]
            if min(map(len, rows)) == each:
                blocks[name] = np.stack([source.decode(source.take(made, row)) for row in rows])
    if not blocks:
        return None
    return pictures.strip(
        np.concatenate(list(blocks.values()), axis=1),
        [label for name in blocks for label in (name, *[""] * (each - 1))],
        row_labels=class_names,
        title=f"The first {each} synthetic images of each class",
    )


def evaluation_of_the_same(
    workdir: pathlib.Path, worth: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The run's evaluation; None if there is none, or if it is of other images than the classifiers'."""
    path = rundir.result_path(workdir, "evaluate")
    found = rundir.read_json(path) if path.exists() else None
    digest = worth.get("reads", {}).get("files", {}).get(run_files.SYNTHETIC)
    return None if found is None or run_files.of_another_set(found, digest) else found
