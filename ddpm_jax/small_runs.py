"""Runs on small sets, for --mode=own: each is an ordinary run on a part of the images, in its own folder."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddpm_jax import run_files, rundir, stages, view
from ddpm_jax.measuring import arms, small_sets
from ddpm_jax.training import lock

POLL_SECONDS = 5.0


class SmallSet(NamedTuple):
    """The images of a run."""

    per_class: int
    seed: int
    fold: int = -1
    """The fold that is held out; -1: none."""

    @property
    def folder(self) -> str:
        held_out = "" if self.fold < 0 else f"-fold-{self.fold}"
        return f"own/{self.per_class}/{self.seed}{held_out}"


class Group(NamedTuple):
    """Arms whose classifiers share their settings."""

    arms: tuple[str, ...]
    shown: tuple[str, ...]
    """The arms that are shown; the others are baselines of --mode=classify."""
    judge: str
    """The arm by whose accuracy the settings are chosen."""
    values: dict[str, tuple[Any, ...]]
    """Values to try, by field of the classifier section."""


def check(config: ConfigDict, num_per_class: int) -> None:
    """Raises ValueError if a study of small sets cannot be made, or could not say what it is to say.

    num_per_class: real images of the smallest class for training and validation together.
    """
    own = config.own
    for group in groups_of(config).values():
        for arm in group.arms:
            arms.parse(arm)
    if config.training.start_from:
        raise ValueError(
            f"training.start_from is {config.training.start_from!r}, whose model has seen other images than "
            "the small set; wanted none with --mode=own"
        )
    if config.sampling.classifier_scale:
        raise ValueError(
            f"sampling.classifier_scale is {config.sampling.classifier_scale:g}, and --mode=own trains no "
            "guides; wanted 0"
        )
    if config.data.per_class:
        raise ValueError(
            f"data.per_class is {config.data.per_class}, and --mode=own draws its small sets from all images "
            "for training and validation; wanted 0, and the numbers of images in own.sizes"
        )
    if own.num_folds < 2:
        raise ValueError(f"own.num_folds is {own.num_folds}, wanted at least 2")
    fewest = own.num_folds if own.num_tuning_sets else 1
    for size in own.sizes:
        if size and not fewest <= size <= num_per_class:
            raise ValueError(
                f"own.sizes has {size}, wanted {fewest} to {num_per_class}, the real images of the smallest "
                "class, or 0 for all"
            )


def groups_of(config: ConfigDict) -> dict[str, Group]:
    """Raises ValueError if an arm of the answer is missing."""
    own = config.own
    values = {
        "learning_rate": own.learning_rates,
        "weight_decay": own.weight_decays,
        "augment.strength": own.strengths,
    }
    with_share = values | {"synthetic_share": own.shares}
    if own.judge not in own.synthetic_arms:
        raise ValueError(
            f"own.judge is {own.judge!r}; it must be one of own.synthetic_arms, {own.synthetic_arms}"
        )
    judge = arms.parse(own.judge)
    if judge.parts != "real+synthetic" or not (judge.augmented or judge.real_augmented):
        raise ValueError(
            f"own.judge is {own.judge!r}; it must add synthetic images to augmented training, as "
            "'real+synthetic, real augmented' does"
        )
    if small_sets.AUGMENTED not in own.real_arms:
        raise ValueError(
            f"own.real_arms is {tuple(own.real_arms)}; it must hold {small_sets.AUGMENTED!r}, the baseline "
            "of the answer"
        )
    real, synthetic = ((small_sets.REAL, *more) for more in (own.real_arms, own.synthetic_arms))
    return {
        "real": Group(real, real, small_sets.AUGMENTED, values),
        "synthetic": Group(synthetic, own.synthetic_arms, own.judge, with_share),
    }


Work = Callable[[run_files.Files, ConfigDict, pathlib.Path], Any]
"""`work(files, config, folder)` takes one step of a set's run; a second call returns the same at once."""


def each(
    files: run_files.Files, config: ConfigDict, sets: Sequence[SmallSet], work: Work
) -> list[Any]:
    """What `work` returns for each set. Sets that another process works on are waited for."""
    done: dict[SmallSet, Any] = {}
    while len(done) < len(sets):
        before = len(done)
        for one in sets:
            folder = files.workdir / one.folder
            if one not in done:
                try:
                    with lock.owned(folder / "in_use"):
                        done[one] = work(files, config_of(config, one), folder)
                except lock.Locked:
                    continue
        if len(done) == before:
            time.sleep(POLL_SECONDS)
    return [done[one] for one in sets]


def config_of(config: ConfigDict, one: SmallSet) -> ConfigDict:
    """The config of a set's run. Test images are those of `config`, whatever the set's seed.

    A whole small set has no validation images to choose a checkpoint or an average by. So no set chooses one,
    also not those with folds, whose generators stand for the others'.
    """
    own = view.unseen(config).copy_and_resolve_references()
    own.data.split_seed = own.seed if own.data.split_seed < 0 else own.data.split_seed
    own.seed, own.data.per_class = one.seed, one.per_class
    own.data.num_folds, own.data.fold = config.own.num_folds, one.fold
    if own.sampling.checkpoint == "best":
        own.sampling.checkpoint = "newest"
    if own.sampling.average == "best":
        own.sampling.average = "ema"
    own.training.keep = 1
    own.training.sample_every = own.training.num_steps + 1  # no grids of samples
    return own


def stage(
    files: run_files.Files,
    mode: str,
    config: ConfigDict,
    folder: pathlib.Path,
    synthetic: pathlib.Path | None,
) -> dict[str, Any]:
    """The result of a stage in `folder`; what it read counts as read by the stage of `files`."""
    found = stages.of_mode(mode)
    assert found is not None  # the modes that are asked for here are stages
    result = found.on(config, folder, synthetic)
    files.read(str(rundir.result_path(folder, mode)))
    files.count_as_read(result["reads"]["fields"])
    return result


def generate(files: run_files.Files, config: ConfigDict, folder: pathlib.Path) -> None:
    """Train the generator of a set and draw its synthetic images."""
    for mode in ("train", "export"):
        stage(files, mode, config, folder, rundir.synthetic(folder))
    jax.clear_caches()  # the programs of a hundred runs would not fit into memory


def find_copies(files: run_files.Files, config: ConfigDict, folder: pathlib.Path) -> dict[str, Any]:
    return stage(files, "copies", config, folder, rundir.synthetic(folder))


def classify(name: str, settings: Mapping[str, Any], wanted: tuple[str, ...], split: str) -> Work:
    """Work that trains the classifiers of some arms; their result is kept in the run's folder `name`."""

    def work(files: run_files.Files, config: ConfigDict, folder: pathlib.Path) -> dict[str, Any]:
        config.classifier.update_from_flattened_dict(settings)
        config.classifier.arms, config.classifier.split = wanted, split
        needs_synthetic = any("synthetic" in arm for arm in wanted)
        synthetic = rundir.synthetic(folder) if needs_synthetic else None
        return stage(files, "classify", config, folder / name, synthetic)

    return work
