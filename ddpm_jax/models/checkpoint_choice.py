"""Which checkpoint of a run, and which of its averaged weights, the sampling section names."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.training import checkpoint_items, retention

LOSSES = "validation_losses"
"""The fact of a checkpoint that holds the validation loss of each of its averages, if there are several."""


def step(config: ConfigDict, directory: pathlib.Path) -> int:
    """The step of the checkpoint that `sampling.checkpoint` names.

    Raises FileNotFoundError if there is no such checkpoint (yet).
    """
    sound, wanted = retention.sound(directory), config.sampling.checkpoint
    if not sound:
        raise FileNotFoundError(f"{directory} holds no checkpoint; run --mode=train first")
    if wanted == "newest":
        return max(sound)
    if wanted == "best":
        best = retention.best_step(directory)
        if best is None:
            raise FileNotFoundError(
                f"sampling.checkpoint is 'best', and no checkpoint in {directory} has a validation "
                "loss; set training.eval_every to a divisor of training.save_every"
            )
        return best
    if not wanted.isdecimal():
        raise ValueError(
            f"sampling.checkpoint is {wanted!r}, wanted 'newest', 'best' or a step such as '5000'"
        )
    if int(wanted) not in sound:
        raise FileNotFoundError(
            f"{directory} holds no checkpoint of step {wanted}; there are {_listed(sound)}"
        )
    return int(wanted)


def bad_step(config: ConfigDict, directory: pathlib.Path) -> int:
    """The step of the checkpoint that `sampling.autoguidance_checkpoint` names.

    Raises ValueError if it is no step, or the one that is sampled; FileNotFoundError if it is not there.
    """
    sound, wanted = retention.sound(directory), config.sampling.autoguidance_checkpoint
    if not wanted.isdecimal() or int(wanted) == step(config, directory):
        raise ValueError(
            f"sampling.autoguidance_checkpoint is {wanted!r}, wanted the step of another checkpoint than "
            f"the one that is sampled; there are {_listed(sound)}"
        )
    if int(wanted) not in sound:
        raise FileNotFoundError(
            f"{directory} holds no checkpoint of step {wanted} (sampling.autoguidance_checkpoint); there "
            f"are {_listed(sound)}; a training with training.keep_every keeps more of them"
        )
    return int(wanted)


def _listed(sound: Mapping[int, Any]) -> str:
    return ", ".join(map(str, sorted(sound)))


def average(config: ConfigDict, facts: Mapping[str, Any]) -> str:
    """The item of the checkpoint's averaged weights that `sampling.average` names.

    `facts` is the checkpoint's manifest. Raises ValueError if it has no such weights.
    """
    wanted, names = config.sampling.average, averages(facts)
    losses = facts["extra"].get(LOSSES, {})
    if wanted == "best" and not losses:
        raise ValueError(
            f"sampling.average is 'best', and the checkpoint of step {facts['step']} has no validation loss "
            "of several averages; train with optim.averages, and set training.eval_every to a divisor of "
            "training.save_every"
        )
    name = min(losses, key=losses.__getitem__) if wanted == "best" else wanted
    if name not in names:
        raise ValueError(
            f"sampling.average is {wanted!r}; the checkpoint of step {facts['step']} has "
            f"{', '.join(names)}; optim.averages adds to them before the training"
        )
    return names[name]


def averages(facts: Mapping[str, Any]) -> dict[str, str]:
    """The items of averaged weights in a checkpoint, by name."""
    prefix = checkpoint_items.average("")
    others = [item for item in facts["arrays"] if item.startswith(prefix)]
    return {"ema": "ema_params"} | {item.removeprefix(prefix): item for item in sorted(others)}


def refuse_imported(workdir: pathlib.Path) -> None:
    """Raises `rundir.Inapplicable` if the run in `workdir` has been made by --mode=import."""
    if source := imported_from(workdir):
        raise rundir.Inapplicable(
            f"{workdir} holds weights imported from {source}; to train them further, give another "
            f"--workdir and --config.training.start_from={workdir}"
        )


def imported_from(workdir: pathlib.Path) -> str:
    """What --mode=import has read the weights from; "" if the run's are its own."""
    several = retention.sound(rundir.checkpoints(workdir)).values()
    return next((facts["extra"].get("imported_from", "") for facts in several), "")
