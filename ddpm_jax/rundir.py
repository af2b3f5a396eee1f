"""The files of a run: where each one lies, how a stage's result is written, and when it is still good.

A stage is done when `results/MODE.json` is there, was made from the same inputs, and the files it lists
are there. Everything is written beside its final name and moved, so that half a file is never seen.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ddpm_jax.whole_file import replacing

# What the parameters depend on, and the fields among it that may change under a run.
MODEL_SECTIONS = ("data", "augment", "schedule", "net", "loss", "optim", "training")
# What a picture by a trained model depends on.
SAMPLE_SECTIONS = (*MODEL_SECTIONS, "sampling", "guide", "editing")
FREE = {
    "data.data_dir",
    "data.manual_dir",
    "data.memory_mib",
    "training.eval_every",
    "training.eval_images",
    "training.heartbeat_seconds",
    "training.keep",
    "training.log_every",
    "training.resident_mib",
    "training.sample_every",
    "training.save_every",
    "training.skip_nonfinite",
    "training.stall_seconds",
    "training.steps_per_call",
}
VERSIONS_OF = ("ddpm_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "grain")


class Inapplicable(ValueError):
    """A stage does not apply to what the stages before it made; the chain leaves it out."""


def checkpoints(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "checkpoints"


def figures(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "figures"


def nonfinite(workdir: pathlib.Path) -> pathlib.Path:
    """What a step that was not finite left, for --mode=replay."""
    return workdir / "nonfinite"


def synthetic(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "synthetic.npz"


def result_path(workdir: pathlib.Path, mode: str) -> pathlib.Path:
    return workdir / "results" / f"{mode}.json"


def write_json(path: pathlib.Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=_plain) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Raises ValueError naming the file when it is not JSON."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); remove it to make it anew"
        ) from error


def digest(content: Any) -> str:
    """SHA-256 of the content as canonical JSON."""
    text = json.dumps(content, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def model_inputs(
    config: Mapping[str, Any], sections: Sequence[str] = MODEL_SECTIONS
) -> dict[str, Any]:
    """The part of a config that the trained parameters depend on."""
    return {
        section: {
            name: value
            for name, value in config[section].items()
            if f"{section}.{name}" not in FREE
        }
        for section in sections
    } | {"seed": config["seed"]}


def claim(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Write `config.json`, unless this directory holds a model that was made with another config.

    Raises ValueError listing the fields that differ.
    """
    check(workdir, config)
    write_json(
        workdir / "config.json",
        {
            "config": config,
            "seed": config["seed"],
            "versions": versions(),
            "git_revision": git_revision(),
            "command": command(),
        },
    )


def check(workdir: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Raises ValueError listing the fields that differ, where a model was made with another config."""
    path = workdir / "config.json"
    if not path.exists():
        return
    before = model_inputs(read_json(path)["config"])
    now = json.loads(json.dumps(model_inputs(config), default=_plain))
    differing = [f"{name}: was {old!r}, is {new!r}" for name, old, new in differences(before, now)]
    if differing:
        raise ValueError(
            f"{workdir} holds a run with another config; give another --workdir, or the same "
            "config. Fields that differ:\n  " + "\n  ".join(differing)
        )


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of every leaf that is not the same in both."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new


def stage(
    workdir: pathlib.Path,
    mode: str,
    inputs: Mapping[str, Any],
    run: Callable[[], Mapping[str, Any]],
    outputs: Sequence[pathlib.Path] = (),
    write: bool = True,
) -> dict[str, Any]:
    """The fields of `results/MODE.json`: as they stand when nothing changed, else what `run` returns.

    `write` is false in those processes of a run that leave the files to another.
    """
    made_from = digest(inputs)
    if (done := current(workdir, mode, made_from)) is not None:
        print(f"[{mode}] up to date: {result_path(workdir, mode)}", flush=True)
        return done
    print(f"[{mode}] {workdir}", flush=True)
    started = time.monotonic()
    fields = dict(run())
    if not write:
        return fields
    fields.setdefault("seconds", round(time.monotonic() - started, 2))
    fields |= {
        "inputs": made_from,
        "outputs": {str(path.relative_to(workdir)): path.stat().st_size for path in outputs},
        "command": command(),
        "versions": versions(),
    }
    write_json(result_path(workdir, mode), fields)
    return fields


def current(workdir: pathlib.Path, mode: str, made_from: str) -> dict[str, Any] | None:
    """The stage's result, if it was made from these inputs and its files are there in their size."""
    path = result_path(workdir, mode)
    if not path.exists():
        return None
    fields = read_json(path)
    if fields.get("inputs") != made_from:
        return None
    for name, size in fields.get("outputs", {}).items():
        output = workdir / name
        if not output.exists() or output.stat().st_size != size:
            return None
    return fields


def result(workdir: pathlib.Path, mode: str) -> dict[str, Any]:
    """What an earlier stage left; raises FileNotFoundError saying which command makes it."""
    path = result_path(workdir, mode)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run --mode={mode} with this --workdir first")
    return read_json(path)


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in VERSIONS_OF:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def git_revision() -> str | None:
    """The commit the program was started from; None outside a git checkout."""
    here = pathlib.Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=here, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def command() -> str:
    """How this program was started, in a form that can be typed again."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"python -m {module.name}" if module else pathlib.Path(sys.argv[0]).name
    return " ".join([program, *sys.argv[1:]])


def _plain(value: Any) -> Any:
    """NumPy scalars, arrays and paths as JSON knows them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, pathlib.PurePath):
        return str(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON has no form for")
