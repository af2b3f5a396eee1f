"""--mode=train_guide: train the classifier that guides samples (`sampling.classifier_scale`).

It sees only training images, noised to every level as the generator sees them, with t as an input.
"""

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from ddpm_jax import progress, run_files, rundir, stages, view
from ddpm_jax.assembly import choice, datasets, denoising, guides, training_fields
from ddpm_jax.data import order, source
from ddpm_jax.diffusion import schedules
from ddpm_jax.models import guide, trained
from ddpm_jax.reporting import guides as guides_shown
from ddpm_jax.training import (
    checkpoints,
    compilation,
    devices,
    fingerprint,
    loop,
    manifest,
    signals,
    state,
)


def folder(workdir: pathlib.Path) -> pathlib.Path:
    return trained.guide_directory(rundir.checkpoints(workdir))


@stages.stage("train_guide", owns=folder)
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    training_fields.check_intervals(config)
    splits = datasets.build_splits(config.data, config.seed)
    held_out = splits.validation
    table = denoising.build_levels(config.schedule)
    net = guides.build_net(config.guide, len(splits.train.class_names))
    directory = folder(files.workdir)
    params = fit(config, net, table, splits.train, directory, files)
    files.output(directory / str(config.guide.num_steps) / manifest.NAME)
    accuracies = None
    if len(held_out.labels):
        accuracies = guide.accuracy_by_level(config, net, params.ema_params, table, held_out)
    else:
        print("[train_guide] no validation images, so the accuracy is not measured", flush=True)
    if accuracies and config.guide.noised and devices.is_writer():
        num_classes = len(splits.train.class_names)
        guides_shown.draw(files.figure("guide.png"), accuracies, num_classes, held_out.name)
    return {
        "step": config.guide.num_steps,
        "accuracy_by_t": accuracies,
        "measured_on": held_out.name if accuracies else None,
        "n": min(len(held_out.labels), guide.MOST_TESTED),
        "seed": config.seed,
    }


def fit(
    config: ConfigDict,
    net: Any,
    table: schedules.Level,
    train: source.Source,
    directory: pathlib.Path,
    files: run_files.Files,
) -> state.TrainState:
    """The state after the last step, saved in `directory`; resumes an interrupted call.

    A signal ends the program with status `signals.STOPPED`, after the state is saved.
    """
    placement = devices.place()
    section = config.guide
    key = choice.key_for(config.seed, "guide")
    size = placement.rounded_up(section.batch_size)
    train_step, begin = guides.build_step(config, net, table, placement, key, size)
    facts = {"class_names": train.class_names, "data_sha256": source.fingerprint(train)}

    def still(reads: Mapping[str, Any]) -> bool:
        return not any(run_files.changed_fields(reads, view.unseen(config)))

    begin = guide.restore(directory, placement, begin, still, facts)
    first = int(begin.step)
    if first:
        files.resume_from(directory)
    rows = devices.local_rows(placement, size)
    read = order.batches(train, size, config.seed, first, rows)
    with contextlib.ExitStack() as stack:
        received = stack.enter_context(signals.deferred())
        show = stack.enter_context(progress.bar("guide", section.num_steps, "steps", first))
        write = stack.enter_context(checkpoints.saver(directory, keep=1))

        def save(at: int, now: state.TrainState) -> None:
            sha256 = fingerprint.sha256(now.ema_params)
            write(now, extra=facts | {"reads": files.notes.fields, "ema_sha256": sha256})

        end = loop.run(
            compilation.compile_step(placement, train_step),
            begin,
            (devices.put_batch(placement, batch) for batch in read),
            key=jax.random.fold_in(key, 1),
            num_steps=section.num_steps,
            log_every=max(1, section.num_steps // 10),
            on_log=lambda done, values: show(done, loss=values["loss"]),
            actions=[loop.Action(config.training.save_every, save)],
            stop=devices.agreed(placement, received),
        )
        save(int(end.step), end)
    if int(end.step) < section.num_steps:
        where = f"stopped and saved at step {int(end.step)} of {section.num_steps}"
        signals.end(received(), where)
    return end
