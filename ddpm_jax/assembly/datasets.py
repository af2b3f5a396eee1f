"""From the data section to images."""

import functools
import pathlib
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import Option, choose
from ddpm_jax.data import digits, folder, npz, source, tfds

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
    shares = (config.validation_fraction, config.test_fraction, seed)
    if config.classes and config.groups:
        raise ValueError("data.classes and data.groups are both given; give one of them")
    groups = tuple((name, tuple(members)) for name, members in config.groups.items())
    if config.per_class < 0:
        raise ValueError(f"data.per_class is {config.per_class}; it must be at least 0")
    form = Form(tuple(config.classes), groups, config.per_class, config.image_size, config.channels)
    stamp = _stamp(where) if kind in ("npz", "folder") else 0
    return _prepared(option, where, own, shares, form, config.memory_mib << 20, stamp)


class Form(NamedTuple):
    """The classes of the images, their size in pixels and their channels."""

    classes: tuple[str | int, ...]
    groups: tuple[tuple[str, tuple[str | int, ...]], ...]
    per_class: int
    """Images of each class for training and validation; 0: all."""
    image_size: int
    channels: int


@functools.lru_cache(maxsize=1)
def _prepared(
    option: Option,
    where: str,
    own: tuple[Any, ...],
    shares: tuple[float, float, int],
    form: Form,
    memory: int,
    stamp: int,
) -> source.Splits:
    """`own` holds the fields that the option reads; `stamp` differs when files have changed."""
    read = option.build(where, dict(zip(("validation", "test", "seed"), shares, strict=True)), *own)
    train, validation, test = (_of_the_classes(split, form) for split in read)
    if form.per_class:
        fraction, _, seed = shares
        train, validation = source.small_set(train, validation, form.per_class, fraction, seed)
    return source.Splits(*(_decoded(split, form, memory) for split in (train, validation, test)))


def _of_the_classes(split: source.Source, form: Form) -> source.Source:
    if form.classes:
        return source.keep_classes(split, form.classes)
    return source.group_classes(split, dict(form.groups)) if form.groups else split


def _decoded(split: source.Source, form: Form, memory: int) -> source.Source:
    split = source.resize(split, form.image_size, form.channels)
    return source.in_memory(split) if source.fits(split, memory) else split


def _stamp(where: str) -> int:
    """A hash of the names, sizes and times of the user's files."""
    path = pathlib.Path(where)
    found = sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists()
    facts = ((str(file), file.lstat()) for file in found)
    return hash(tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in facts))


def _tfds(name: str, shares: Shares, data_dir: str, manual_dir: str, label: str) -> source.Splits:
    return tfds.load(
        name, data_dir=data_dir or None, manual_dir=manual_dir or None, label=label, **shares
    )


def _whole(read: source.Source, shares: Shares) -> source.Splits:
    """Splits of a source that has none of its own."""
    validation, test = shares["validation"], shares["test"]
    fractions = (1 - validation - test, validation, test)
    return source.Splits(*source.split(read, fractions, shares["seed"]))


SOURCES = {
    "digits": Option(lambda where, shares: digits.load(**shares)),
    "tfds": Option(_tfds, ("data_dir", "manual_dir", "label")),
    "npz": Option(lambda where, shares: _whole(npz.load(where), shares)),
    "folder": Option(lambda where, shares: _whole(folder.load(where), shares)),
}
"""Keyed by what stands before the colon in `data.source`."""


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    return config.data.image_size, config.data.image_size, config.data.channels


def held_out(splits: source.Splits, field: str, name: str) -> source.Source:
    """The validation or the test split, whichever `field` names."""
    return choose(field, name, {"validation": splits.validation, "test": splits.test})


def examples(config: ConfigDict) -> source.Source:
    """The real images that the editing section asks for; the classes take turns."""
    splits = build_splits(config.data, config.seed)
    split = held_out(splits, "editing.split", config.editing.split)
    return source.in_turn(split, config.editing.num_images, config.seed)
