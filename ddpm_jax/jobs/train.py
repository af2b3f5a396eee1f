"""--mode=train: train a diffusion model on real images. The same command resumes an interrupted run."""

import time
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import metrics, run_files, rundir, stages, view
from ddpm_jax.assembly import choice, reproduction, training, training_fields
from ddpm_jax.models import averages, checkpoint_choice, in_training
from ddpm_jax.training import devices, fingerprint, loop, retention, signals
from ddpm_jax.training import state as states


@stages.stage("train", owns=lambda workdir: workdir)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    """Train to the last step and return the fields of `results/train.json`.

    A signal ends the program with status `signals.STOPPED`, after the state is saved.
    """
    files.claim()
    workdir = files.workdir
    checkpoint_choice.refuse_imported(workdir)
    files.resume_from(rundir.checkpoints(workdir))
    training_fields.check_kept(view.unseen(config))
    parts = training.build_parts(config)
    training.warn(config, parts.programs.table)
    names = parts.splits.train.class_names
    paint = in_training.painter(view.unseen(config), workdir, names, parts.programs)
    facts = in_training.facts(parts.splits.train)

    def made_from() -> dict[str, Any]:
        return facts | {"reads": files.notes.fields}

    begin, losses = in_training.restore(
        config, parts, rundir.checkpoints(workdir), facts, files.read
    )
    first, wanted = int(begin.step), config.training.num_steps
    print(in_training.describe(config, parts, first), flush=True)
    parts = in_training.compiled(view.unseen(config), parts, begin)
    started = time.monotonic()
    try:
        with in_training.opened(config, workdir, first) as open_now:
            open_now.writer.config(dict(view.leaves(view.unseen(config))))
            end = take_steps(config, parts, open_now, paint, begin, losses, made_from)
    except loop.NonFinite as error:
        raise FloatingPointError(
            reproduction.explain(config, rundir.nonfinite(workdir), parts, error)
        ) from error
    last = int(end.step)
    if last < wanted:
        signals.end(open_now.received(), f"stopped and saved at step {last} of {wanted}")
    devices.barrier("trained")  # all processes see the last checkpoint
    seconds = time.monotonic() - started
    return {
        "step": last,
        "params_sha256": fingerprint.sha256(end.params),
        "ema_sha256": fingerprint.sha256(end.ema_params),
        "seconds": round(seconds, 2),
        "images_per_second": round((last - first) * config.training.batch_size / seconds, 2),
        "validation_loss": losses.get(last, {}).get("ema"),
        "best_step": retention.best_step(rundir.checkpoints(workdir)),
        "resumed_at": first,
        "num_parameters": states.count_parameters(end.params),
        "num_devices": parts.placement.num_devices,
        "platform": parts.placement.platform,
        "seed": config.seed,
        **facts,
    }


def take_steps(
    config: ConfigDict,
    parts: training.Parts,
    files: in_training.Open,
    paint: Callable[[int, states.TrainState, metrics.Writer], None],
    begin: states.TrainState,
    losses: dict[int, dict[str, float]],
    made_from: Callable[[], dict[str, Any]],
) -> states.TrainState:
    """Train from `begin` to the last step or a signal; the state it returns is saved.

    `made_from()` gives what a checkpoint says about its parameters besides their step.
    """
    wanted = config.training.num_steps
    validated = in_training.validation_images(config, parts)

    def validate(at: int, state: states.TrainState) -> None:
        if at not in losses and validated:
            losses[at] = averages.losses(config, parts, state)
            files.writer.scalars(at, averages.logged(losses[at]))

    def save(at: int, state: states.TrainState) -> None:
        # Validate before the save: a run that is killed after the save does not come here again.
        if at == wanted:
            validate(at, state)
        # What a signal saves has no loss, so that it is not the best: another run would not have it.
        regular = at == wanted or at % config.training.save_every == 0
        known = losses.get(at, {}) if regular else {}
        files.save(state, known.get("ema"), made_from() | averages.facts(known))

    end = loop.run(
        parts.train_step,
        begin,
        in_training.alive_at_each(in_training.batches(config, parts, int(begin.step)), files.alive),
        key=choice.key_for(config.seed, "train"),
        num_steps=wanted,
        log_every=config.training.log_every,
        on_log=in_training.reporter(config, files, int(begin.step)),
        actions=[
            loop.Action(config.training.eval_every, validate),
            loop.Action(
                config.training.sample_every, lambda at, state: paint(at, state, files.writer)
            ),
            loop.Action(config.training.save_every, save),
        ],
        stop=devices.agreed(parts.placement, files.received),
        num_in=in_training.steps_in(parts.placement),
    )
    save(int(end.step), end)
    return end
