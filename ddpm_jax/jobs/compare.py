"""--mode=compare: what the synthetic set is worth, as a table, a plot and one plain sentence."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.training import devices
from ddpm_jax.viz import plots


def run(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
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
