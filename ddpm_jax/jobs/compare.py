"""--mode=compare: what the synthetic set is worth, as a table, a plot and one plain sentence."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.data import npz, source
from ddpm_jax.measuring import labelled
from ddpm_jax.training import devices
from ddpm_jax.viz import pictures, plots


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    synthetic = rundir.synthetic(workdir)
    if not rundir.result_path(workdir, "classify").exists() and synthetic.exists():
        labelled.require_labels(synthetic)
    worth = rundir.result(workdir, "classify")
    figures = rundir.figures(workdir)
    arms = worth["arms"]
    print(table(arms))
    print(sentence(arms), flush=True)
    if devices.is_writer():
        title = f"{worth['tested_on']}, {worth['n_test']} images"
        drawn = {arm: (fields["accuracy"], fields["ci95"]) for arm, fields in arms.items()}
        plots.save(figures / "arms.png", plots.arms(drawn, title=title))
        for arm, fields in arms.items():
            counts = np.array(fields["confusion"])
            picture = plots.confusion(counts, worth["class_names"], title=f"Trained on {arm}")
            plots.save(figures / f"confusion-{arm}.png", picture)
        rundir.write_json(
            rundir.result_path(workdir, "compare"), {"sentence": sentence(arms), "arms": arms}
        )
    return {"sentence": sentence(arms)}


def table(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """Accuracies in percent, and the gain over real paired by seed, with 95 % intervals."""
    head = f"{'trained on':<18}{'images':>8}{'seeds':>7}{'accuracy':>16}{'against real':>18}"
    rows = [
        f"{arm:<18}{fields['n_train']:>8}{fields['seeds']:>7}"
        f"{percent(fields['accuracy'], fields['ci95']):>16}"
        + ("" if arm == "real" else f"{points(fields['gain_over_real'], fields['gain_ci95']):>18}")
        for arm, fields in arms.items()
    ]
    return "\n".join([head, *rows])


def sentence(arms: Mapping[str, Mapping[str, Any]]) -> str:
    """No winner where the interval of the difference contains zero."""
    real = arms["real"]
    parts = [f"real: {percent(real['accuracy'], real['ci95'])}"]
    if "synthetic" in arms:
        only = arms["synthetic"]
        below = abs(100 * only["gain_over_real"])
        side = "below" if only["gain_over_real"] < 0 else "above"
        parts.append(
            f"synthetic-only: {percent(only['accuracy'], only['ci95'])}, "
            f"{below:.1f} points {side} real{doubt(only)}"
        )
    for arm, text in (
        ("real+synthetic", "adding it to real"),
        ("real+duplicated", "as many duplicates instead"),
        ("real+augmented", "as many augmented copies instead"),
    ):
        if arm in arms:
            gain = points(arms[arm]["gain_over_real"], arms[arm]["gain_ci95"])
            parts.append(f"{text}: {gain}{doubt(arms[arm])}")
    return "; ".join(parts)


def doubt(arm: Mapping[str, Any]) -> str:
    unclear = abs(arm["gain_over_real"]) <= arm["gain_ci95"]
    return " (no difference shown)" if unclear else ""


def percent(mean: float, half_width: float) -> str:
    return f"{100 * mean:.1f} +- {100 * half_width:.1f} %"


def points(mean: float, half_width: float) -> str:
    return f"{100 * mean:+.1f} +- {100 * half_width:.1f}"


def several(workdirs: Sequence[pathlib.Path], workdir: pathlib.Path) -> dict[str, Any]:
    """Finished runs side by side: `results/runs.json` and `figures/runs.png` of `workdir`.

    Raises ValueError where they were tested on other images, or by other classifiers.
    """
    found = {}
    for path in workdirs:
        worth = rundir.result(path, "classify")
        if path.resolve().name in found:
            raise ValueError(f"--runs names two work directories called {path.resolve().name}")
        found[path.resolve().name] = (worth, result_or_none(path, "evaluate"))
    check_comparable({name: worth for name, (worth, _) in found.items()})
    first = next(iter(found.values()))[0]
    columns = [
        "run",
        "synthetic only (%)",
        "against real",
        "real + synthetic",
        "distance",
        "recall",
    ]
    rows = [run_row(name, *fields) for name, fields in found.items()]
    fields = {
        "columns": columns,
        "rows": rows,
        "caption": f"Accuracy on {first['n_test']:,} real images of the {first['tested_on']}; gains in "
        "points over real images alone, with 95 % intervals over seeds. Distances on other features than "
        "the official Inception's are comparable only where these are the same.",
        "runs": {name: str(path) for name, path in zip(found, workdirs, strict=True)},
        "test_sha256": first["test_sha256"],
        "command": rundir.command(),
        "versions": rundir.versions(),
    }
    print(
        "\n".join("  ".join(f"{cell:<22}" for cell in row) for row in (columns, *rows)), flush=True
    )
    if devices.is_writer():
        drawn = {
            f"{name}: {arm}": (worth["arms"][arm]["accuracy"], worth["arms"][arm]["ci95"])
            for name, (worth, _) in found.items()
            for arm in ("real", "synthetic", "real+synthetic")
            if arm in worth["arms"]
        }
        title = f"{first['tested_on']}, {first['n_test']} images"
        plots.save(rundir.figures(workdir) / "runs.png", plots.arms(drawn, title=title))
        made = dict(zip(found, workdirs, strict=True))
        if (picture := samples_beside(made, first["class_names"])) is not None:
            pictures.save(rundir.figures(workdir) / "runs-samples.png", picture)
        rundir.write_json(rundir.result_path(workdir, "runs"), fields)
    return fields


def samples_beside(
    workdirs: Mapping[str, pathlib.Path], class_names: Sequence[str], each: int = 5
) -> pictures.Picture | None:
    """A row a class, and of each run the first images that it made of it; None where none made any."""
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


def result_or_none(workdir: pathlib.Path, mode: str) -> dict[str, Any] | None:
    path = rundir.result_path(workdir, mode)
    return rundir.read_json(path) if path.exists() else None


def check_comparable(found: Mapping[str, Mapping[str, Any]]) -> None:
    first, *others = found
    for field, what in (("test_sha256", "test images"), ("classifier", "classifier settings")):
        for other in others:
            if found[first][field] != found[other][field]:
                raise ValueError(
                    f"{first} and {other} have other {what}; their accuracies cannot be compared"
                )


def run_row(name: str, worth: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> list[str]:
    arms = worth["arms"]
    cells = [name, "-", "-", "-", "-", "-"]
    if "synthetic" in arms:
        only = arms["synthetic"]
        cells[1] = percent(only["accuracy"], only["ci95"]).removesuffix(" %")
        cells[2] = points(only["gain_over_real"], only["gain_ci95"])
    if "real+synthetic" in arms:
        cells[3] = points(
            arms["real+synthetic"]["gain_over_real"], arms["real+synthetic"]["gain_ci95"]
        )
    if evaluation:
        key = evaluation["distance"]
        cells[4] = f"{evaluation[key]['value']:.3g} ({key})"
        cells[5] = f"{evaluation['manifold']['recall']:.3f}"
    return [cell.replace("+-", "±") for cell in cells]
