"""From the data section to images."""

import functools
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import Option, choose
from ddpm_jax.data import digits, division, folder, hf, npz, source, stamp, tfds

Shares = dict[str, Any]
"""Shares of validation and test images, and the seed to draw them with."""


def build_splits(config: ConfigDict, seed: int) -> source.Splits:
    """Train, validation and test images in the config's size, channels and classes; disjoint.

    They are read once for all stages of a chain, and decoded once if they fit into `memory_mib`, unless
    their files have changed: 70,000 images take half a minute on two slow cores.
    """
    kind, _, where = config.source.partition(":")
    option = choose("data.source", kind, SOURCES)
    own = tuple(config[name] for name in option.reads)
    split_seed = seed if config.split_seed < 0 else config.split_seed
    shares = (config.validation_fraction, config.test_fraction, split_seed)
    if config.classes and config.groups:
        raise ValueError("data.classes and data.groups are both given; give one of them")
    groups = tuple((name, tuple(members)) for name, members in config.groups.items())
    if config.per_class < 0:
        raise ValueError(f"data.per_class is {config.per_class}; it must be at least 0")
    form = Form(tuple(config.classes), groups, config.image_size, config.channels)
    part = Part(config.per_class, config.num_folds, config.fold if config.num_folds else 0, seed)
    now = stamp.of_source(config.source)
    return _prepared(option, where, own, shares, form, part, config.memory_mib << 20, now)


def whole(config: ConfigDict, name: str, seed: int) -> source.Source:
    """All images of the source `name`, in the size, the channels and the classes of the data section."""
    own = config.copy_and_resolve_references()
    own.source, own.per_class, own.num_folds = name, 0, 0
    return functools.reduce(source.join, build_splits(own, seed))


class Form(NamedTuple):
    """The classes of the images, their size in pixels and their channels."""

    classes: tuple[str | int, ...]
    groups: tuple[tuple[str, tuple[str | int, ...]], ...]
    image_size: int
    channels: int


class Part(NamedTuple):
    """The training and validation images to use, and which of them are which."""

    per_class: int
    """Images of each class for both together; 0: all."""
    num_folds: int
    """0: the images are divided by the share of validation images."""
    fold: int
    seed: int


@functools.lru_cache(maxsize=1)
def _prepared(
    option: Option,
    where: str,
    own: tuple[Any, ...],
    shares: tuple[float, float, int],
    form: Form,
    part: Part,
    memory: int,
    stamped: str | None,
) -> source.Splits:
    train, validation, test = (
        _of_the_classes(split, form) for split in _read(option, where, own, shares, stamped)
    )
    if part.per_class or part.num_folds:
        train, validation = _divided(train, validation, part, shares[0])
    return source.Splits(*(_decoded(split, form, memory) for split in (train, validation, test)))


@functools.lru_cache(maxsize=1)
def _read(
    option: Option,
    where: str,
    own: tuple[Any, ...],
    shares: tuple[float, float, int],
    stamped: str | None,
) -> source.Splits:
    """`own` holds the fields that the option reads; `stamped` differs when files have changed."""
    return option.build(where, dict(zip(("validation", "test", "seed"), shares, strict=True)), *own)


def forget() -> None:
    """Read the images again when they are next asked for."""
    _prepared.cache_clear()
    _read.cache_clear()


def _divided(
    train: source.Source, validation: source.Source, part: Part, fraction: float
) -> tuple[source.Source, source.Source]:
    """The images of `part`, divided again into training and validation images."""
    chosen = source.join(train, validation)
    if part.per_class:
        chosen = division.small_set(chosen, part.per_class, part.seed)
    if part.num_folds:
        parts = division.hold_out(chosen, part.fold, part.num_folds, part.seed)
    else:
        first, second = division.split(chosen, (1 - fraction, fraction), part.seed)
        parts = first, second
    return parts[0]._replace(name=train.name), parts[1]._replace(name=validation.name)


def _of_the_classes(split: source.Source, form: Form) -> source.Source:
    if form.classes:
        return source.keep_classes(split, form.classes)
    return source.group_classes(split, dict(form.groups)) if form.groups else split


def _decoded(split: source.Source, form: Form, memory: int) -> source.Source:
    split = source.resize(split, form.image_size, form.channels)
    if not len(split.labels):  # no validation images: data.fold is -1
        return split
    return source.in_memory(split) if source.fits(split, memory) else split


def _tfds(name: str, shares: Shares, data_dir: str, manual_dir: str, label: str) -> source.Splits:
    return tfds.load(
        name, data_dir=data_dir or None, manual_dir=manual_dir or None, label=label, **shares
    )


def _hf(where: str, shares: Shares, label: str, image_column: str) -> source.Splits:
    return hf.load(where, label=label, image_column=image_column, **shares)


def _whole(read: source.Source, shares: Shares) -> source.Splits:
    """Splits of a source that has none of its own."""
    validation, test = shares["validation"], shares["test"]
    fractions = (1 - validation - test, validation, test)
    return source.Splits(*division.split(read, fractions, shares["seed"]))


def _folder(where: str, shares: Shares) -> source.Splits:
    parts = folder.divided(where)
    if parts is None:
        return _whole(folder.load(where), shares)
    if "validation" not in parts:
        fraction = shares["validation"]
        cut = division.split(parts["train"], (1 - fraction, fraction), shares["seed"])
        parts |= dict(zip(("train", "validation"), cut, strict=True))
    return source.Splits(**parts)


SOURCES = {
    "digits": Option(lambda where, shares: digits.load(**shares)),
    "tfds": Option(_tfds, ("data_dir", "manual_dir", "label")),
    "hf": Option(_hf, ("label", "image_column")),
    "npz": Option(lambda where, shares: _whole(npz.load(where), shares)),
    "folder": Option(_folder),
}
"""Keyed by what stands before the colon in `data.source`."""


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    return config.data.image_size, config.data.image_size, config.data.channels


def held_out(splits: source.Splits, field: str, name: str) -> source.Source:
    """The validation or the test split, whichever `field` names. Raises ValueError if it is empty."""
    split = choose(field, name, {"validation": splits.validation, "test": splits.test})
    if not len(split.labels):
        raise ValueError(f"{field} is {name!r}, which has no images: data.fold is -1")
    return split


def validation(splits: source.Splits) -> source.Source:
    """The validation split; raises ValueError if no images are held out."""
    return held_out(splits, "the split", "validation")


def to_show(splits: source.Splits) -> source.Source:
    """Validation images if there are any, else those for training."""
    return splits.validation if len(splits.validation.labels) else splits.train


def examples(config: ConfigDict) -> source.Source:
    """The real images that the editing section asks for; the classes take turns."""
    splits = build_splits(config.data, config.seed)
    split = held_out(splits, "editing.split", config.editing.split)
    return division.in_turn(split, config.editing.num_images, config.seed)
