"""The files of a run as a stage sees them: notes what is read from them and from the config."""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax import rundir, view
from ddpm_jax.data import stamp
from ddpm_jax.models import checkpoint_choice, trained
from ddpm_jax.training import devices, retention

SYNTHETIC, CHECKPOINT, GUIDE, FILE = "synthetic set", "checkpoint", "guide", "file "
BAD = "checkpoint of autoguidance"
REAL = "folder or file of real images"
CHANGE_NOTHING = frozenset(
    {
        "budget.minutes",  # the fields that it decides are noted
        "data.data_dir",
        "data.manual_dir",
        "data.memory_mib",
        "evaluation.cache_dir",
        "sampling.autoguidance_checkpoint",  # noted as a file
        "sampling.batch_size",
        "sampling.checkpoint",  # the checkpoint it names is noted as a file
        "training.eval_every",
        "training.eval_images",
        "training.heartbeat_seconds",
        "training.keep",
        "training.keep_every",
        "training.log_every",
        "training.resident_mib",
        "training.sample_every",
        "training.save_every",
        "training.skip_nonfinite",
        "training.stall_seconds",
        "training.steps_per_call",
    }
)
"""Fields that affect how a result is computed, not its value; they may change during a run."""


class Notes(NamedTuple):
    """What was read: config fields by dotted name, files by the SHA-256 of their content."""

    fields: dict[str, Any]
    files: dict[str, str | None]
    """Of real images, names, sizes and times take the place of the content."""


class Files(NamedTuple):
    """The files of a run as a stage sees them: notes what it reads, lists what it writes."""

    stage: str
    config: ConfigDict
    workdir: pathlib.Path
    synthetic_set: pathlib.Path | None
    """Path of the synthetic images; None: only real ones are used."""
    notes: Notes
    outputs: list[pathlib.Path]

    def figure(self, name: str) -> pathlib.Path:
        """The path of a figure that this stage writes."""
        return self.output(rundir.figures(self.workdir) / name)

    def output(self, path: pathlib.Path) -> pathlib.Path:
        """List `path` as an output, without which the result does not stand, and return it."""
        if path not in self.outputs:
            self.outputs.append(path)
        return path

    def read(self, path: str) -> str:
        """Note the content of the file at `path`, and return `path`."""
        self._note(FILE + path)
        return path

    def synthetic(self) -> pathlib.Path | None:
        """The synthetic set; raises FileNotFoundError if it does not exist yet."""
        if self.synthetic_set and not self.synthetic_set.exists():
            raise FileNotFoundError(f"{self.synthetic_set} is missing; run --mode=export first")
        self._note(SYNTHETIC)
        return self.synthetic_set

    def checkpoints(self, *, guided: bool = True) -> pathlib.Path:
        """The folder of checkpoints; notes the one that `sampling.checkpoint` names.

        With `guided`, also notes the guide and the earlier checkpoint that the sampling section asks for.
        Raises FileNotFoundError if one is missing, and ValueError if one was made with other fields.
        """
        directory = rundir.checkpoints(self.workdir)
        checkpoint_choice.step(self.config, directory)
        self.claim()
        self._note(CHECKPOINT)
        if guided and self.config.sampling.autoguidance_scale != 1.0:
            checkpoint_choice.bad_step(self.config, directory)
            self._note(BAD)
        if guided and self.config.sampling.classifier_scale:
            check_guide(self.config, self.workdir)
            self._note(GUIDE)
        return directory

    def has_checkpoint(self) -> bool:
        """Whether a checkpoint exists; notes the answer."""
        self._note(CHECKPOINT)
        return self.notes.files[CHECKPOINT] is not None

    def unfinished(self) -> Any:
        """What an interrupted call of this stage kept; None if nothing of it still stands.

        What that call had read counts as read: the content depends on it.
        """
        path = self.partial()
        if not path.exists():
            return None
        kept = rundir.read_json(path)
        if list(changes(kept["reads"], self)):
            return None
        self.notes.fields.update(kept["reads"]["fields"])
        self.notes.files.update(kept["reads"]["files"])
        return kept["content"]

    def resume_from(self, directory: pathlib.Path) -> None:
        """Count as read what the newest checkpoint in `directory` was trained with, if there is one."""
        self.notes.fields.update(_trained_with(directory) or {})

    def count_as_read(self, fields: Mapping[str, Any]) -> None:
        """Note the fields that another config's stage read and that have the same value in this one."""
        for name, value in fields.items():
            if rundir.plain(view.field(self.config, name)) == value:
                self.notes.fields[name] = value

    def keep(self, content: Any) -> None:
        """Keep what is done so far, so that an interrupted stage resumes."""
        if devices.is_writer():
            kept = {"reads": self.notes._asdict(), "content": content}
            rundir.write_json(self.partial(), kept)

    def partial(self) -> pathlib.Path:
        """Where an interrupted call keeps its work."""
        return self.workdir / "results" / f"{self.stage}.partial.json"

    def claim(self) -> None:
        """Write `config.json`; raises ValueError if a model here was trained with other fields."""
        check_model(self.config, self.workdir)
        if devices.is_writer():
            rundir.write_config(self.workdir, self.config.to_dict())

    def note_field(self, name: str, value: Any) -> None:
        if name not in CHANGE_NOTHING:
            self.notes.fields[name] = rundir.plain(value)
        new = name == "data.source" and REAL not in self.notes.files
        if new and (found := stamp.of_source(value)):
            self.notes.files[REAL] = found

    def _note(self, name: str) -> None:
        self.notes.files[name] = digest_of(name, self)


def open_for(
    stage: str, config: ConfigDict, workdir: pathlib.Path, synthetic_set: pathlib.Path | None = None
) -> Files:
    return Files(stage, view.unseen(config), workdir, synthetic_set, Notes({}, {}), [])


def changes(reads: Mapping[str, Any], files: Files) -> Iterator[str]:
    """Each field and file that has changed since it was read, in words."""
    yield from changed_fields(reads["fields"], files.config)
    for name, before in reads["files"].items():
        now = digest_of(name, files)
        if now != before:
            yield f"the {name} " + (
                "is another one" if now and before else "is gone" if before else "is new"
            )


def of_another_set(result: Mapping[str, Any], digest: str | None) -> bool:
    """Whether a stage's result is of other synthetic images than those with this SHA-256."""
    was = result.get("reads", {}).get("files", {}).get(SYNTHETIC)
    return None not in (was, digest) and was != digest


def changed_fields(before: Mapping[str, Any], config: ConfigDict) -> Iterator[str]:
    for name, value in sorted(before.items()):
        now = rundir.plain(view.field(config, name))
        if now != value:
            yield f"{name}: was {value!r}, is {now!r}"


def digest_of(name: str, files: Files) -> str | None:
    """SHA-256 of what a note calls `name`; None if it does not exist."""
    checkpoints = rundir.checkpoints(files.workdir)
    try:
        if name == CHECKPOINT:
            return _origin(checkpoints, checkpoint_choice.step(files.config, checkpoints))
        if name == BAD:
            step = files.config.sampling.autoguidance_checkpoint
            return _origin(checkpoints, int(step)) if step.isdecimal() else None
        if name == REAL:
            return stamp.of_source(files.config.data.source)
        if name == GUIDE:
            return _origin(trained.guide_directory(checkpoints), files.config.guide.num_steps)
        path = files.synthetic_set if name == SYNTHETIC else pathlib.Path(name.removeprefix(FILE))
        return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _origin(directory: pathlib.Path, step: int) -> str | None:
    """Digest of what determines a checkpoint's parameters: step, fields, images and versions.

    It is not that of the manifest, because the names of a checkpoint's files are random.
    """
    facts = retention.sound(directory).get(step)
    if facts is None:
        return None
    return rundir.digest({name: facts[name] for name in ("step", "extra", "libraries")})


def check_model(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Raises ValueError listing the fields that differ from those the model was trained with."""
    differing = list(
        changed_fields(_trained_with(rundir.checkpoints(workdir)) or {}, view.unseen(config))
    )
    if differing:
        raise ValueError(
            f"{workdir} holds a run with another config; give another --workdir, or the same "
            "config. Fields that differ:\n  " + "\n  ".join(differing)
        )


def _trained_with(directory: pathlib.Path) -> dict[str, Any] | None:
    """The fields that the newest checkpoint names; None if there is no checkpoint."""
    sound = retention.sound(directory)
    if not sound:
        return None
    reads = sound[max(sound)]["extra"].get("reads")
    if reads is None:
        raise ValueError(
            f"{directory} holds checkpoints of an earlier version of ddpm_jax; give another --workdir"
        )
    return reads


def check_sources(files: Files, notes: Mapping[str, Any]) -> None:
    """Raises ValueError where a result that stands was made from a model or guide of other fields."""
    if CHECKPOINT in notes["files"]:
        check_model(files.config, files.workdir)
    if GUIDE in notes["files"]:
        check_guide(files.config, files.workdir)


def check_guide(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Raises FileNotFoundError if there is no guide yet, ValueError if other fields made it."""
    directory = trained.guide_directory(rundir.checkpoints(workdir))
    reads = trained.guide_facts(config, directory)["extra"].get("reads", {"": None})
    differing = list(changed_fields(reads, view.unseen(config)))
    if differing:
        raise ValueError(
            f"the classifier in {directory} was trained with other fields; run --mode=train_guide "
            "again. Fields that differ:\n  " + "\n  ".join(differing)
        )
