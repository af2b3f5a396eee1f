"""Whether the result of a stage still stands, by what the stage read: fields by value, files by SHA-256.

A stage has a name, the stages whose files it needs, and a function of a config and the files of a run.
The config and the files note what is read from them. The notes are saved with the result, which stands
as long as every field and file in them is unchanged: a verifying trace (Mokhov, Mitchell & Peyton Jones,
"Build Systems à la Carte", 2018).
"""

import importlib
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, view
from ddpm_jax.run_files import Files
from ddpm_jax.training import devices, lock


class Stage(NamedTuple):
    name: str
    needs: tuple[str, ...]
    work: Callable[[ConfigDict, Files], Mapping[str, Any]]
    owns: Callable[[pathlib.Path], pathlib.Path] | None = None
    """Work directory to the folder that only one process at a time may change; None: no such folder."""

    def __call__(self, config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
        """The fields of `results/NAME.json`: read if they still stand, else made again."""
        return self.on(config, workdir, rundir.synthetic(workdir))

    def on(
        self, config: ConfigDict, workdir: pathlib.Path, synthetic_set: pathlib.Path | None
    ) -> dict[str, Any]:
        """Like a call, but with another synthetic set than the run's, or with none."""
        if self.owns and devices.is_writer():
            with lock.owned(self.owns(workdir)):
                return self._run(config, workdir, synthetic_set)
        return self._run(config, workdir, synthetic_set)

    def _run(
        self, config: ConfigDict, workdir: pathlib.Path, synthetic_set: pathlib.Path | None
    ) -> dict[str, Any]:
        files = run_files.open_for(self.name, config, workdir, synthetic_set)
        result = rundir.result_path(workdir, self.name)
        why = list(reasons(files))
        if not why:
            done = rundir.read_json(result)
            run_files.check_sources(files, done["reads"])
            print(f"[{self.name}] up to date: {result}", flush=True)
            return done
        print(f"[{self.name}] {workdir}" + because(why) * result.exists(), flush=True)
        started = time.monotonic()
        fields = dict(self.work(view.View(config, files.note_field), files))
        if devices.is_writer():
            fields.setdefault("seconds", round(time.monotonic() - started, 2))
            fields |= made_from(files)
            rundir.write_json(result, fields)
            files.partial().unlink(missing_ok=True)
        return fields


def stage(
    name: str, *needs: str, owns: Callable[[pathlib.Path], pathlib.Path] | None = None
) -> Callable[[Callable[..., Mapping[str, Any]]], Stage]:
    """A decorator: turns `work(config, files)`, which returns the fields of its result, into a stage."""
    return lambda work: Stage(name, needs, work, owns)


def made_from(files: Files) -> dict[str, Any]:
    """What every result holds besides its own fields."""
    reads = files.notes._asdict()
    sizes = {str(p.relative_to(files.workdir)): p.stat().st_size for p in files.outputs}
    return {
        "inputs": rundir.digest(reads),
        "reads": reads,
        "outputs": sizes,
        "command": rundir.command(),
        "versions": rundir.versions(),
    }


def reasons(files: Files) -> Iterator[str]:
    """Why the stage has to run; empty if its result stands."""
    path = rundir.result_path(files.workdir, files.stage)
    if not path.exists():
        yield "not made yet"
        return
    before = rundir.read_json(path)
    if "reads" not in before:
        yield "made by an earlier version"
        return
    yield from run_files.changes(before["reads"], files)
    for name, size in before["outputs"].items():
        output = files.workdir / name
        if not output.exists():
            yield f"{name} is gone"
        elif output.stat().st_size != size:
            yield f"{name} has {output.stat().st_size} bytes, had {size}"


def because(why: list[str]) -> str:
    more = f" and {len(why) - 3} more" if len(why) > 3 else ""
    return f" ({'; '.join(why[:3])}{more})"


def never_read(workdir: pathlib.Path, names: Iterable[str]) -> list[str]:
    """Those of `names` that no stage of the chain has read to make what is in `workdir`."""
    paths = (rundir.result_path(workdir, mode) for mode in rundir.CHAIN)
    results = [rundir.read_json(path) for path in paths if path.exists()]
    read = {name for result in results for name in result.get("reads", {}).get("fields", ())}
    return [name for name in names if name not in read | run_files.CHANGE_NOTHING]


def of_mode(mode: str) -> Stage | None:
    """The stage that a mode runs; None for modes that always run again."""
    module = importlib.import_module(rundir.job(mode))
    return next((value for value in vars(module).values() if isinstance(value, Stage)), None)


def explain(config: ConfigDict, workdir: pathlib.Path, modes: Sequence[str]) -> Iterator[str]:
    """For each mode in turn, whether its result stands or what changed. Runs nothing."""
    again: set[str] = set()
    for mode in modes:
        found = of_mode(mode)
        if found is None:
            yield f"[{mode}] always made again"
            continue
        why = list(reasons(run_files.open_for(mode, config, workdir, rundir.synthetic(workdir))))
        why += [f"after {need}, which is made again" for need in found.needs if need in again]
        if why:
            again.add(mode)
        yield f"[{mode}] " + ("; ".join(why) or "up to date")
