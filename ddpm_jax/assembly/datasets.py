"""From the data section to images."""

import functools
import pathlib
from typing import Any

from ml_collections import ConfigDict

from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import digits, folder, npz, source, tfds


def build_splits(config: ConfigDict, seed: int) -> source.Splits:
    """Train, validation and test images in the config's size, channels and classes; disjoint.

    Read and, where they fit into `memory_mib`, decoded once for all stages of a chain, unless their files
    have changed: 70,000 images take half a minute on two slow cores.
    """
    kind, _, where = config.source.partition(":")
    tfds_fields = (config.data_dir, config.manual_dir, config.label) if kind == "tfds" else ()
    if config.classes and config.groups:
        raise ValueError("data.classes and data.groups are both given; give one of them")
    groups = tuple((name, tuple(members)) for name, members in config.groups.items())
    shares = (config.validation_fraction, config.test_fraction)
    read = (kind, where, tfds_fields, *shares, seed)
    form = (tuple(config.classes), groups, config.image_size, config.channels)
    return _prepared(read, form, config.memory_mib << 20, _stamp(kind, where))


@functools.lru_cache(maxsize=1)
def _prepared(read: tuple, form: tuple, memory: int, stamp: int) -> source.Splits:
    classes, groups, image_size, channels = form

    def prepare(split: source.Source) -> source.Source:
        if classes:
            split = source.keep_classes(split, classes)
        if groups:
            split = source.group_classes(split, dict(groups))
        split = source.resize(split, image_size, channels)
        return source.in_memory(split) if source.fits(split, memory) else split

    return source.Splits(*map(prepare, _read(*read)))


def _read(
    kind: str,
    where: str,
    tfds_fields: tuple[str, ...],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> source.Splits:
    shares: dict[str, Any] = {
        "validation": validation_fraction,
        "test": test_fraction,
        "seed": seed,
    }

    def whole(read: source.Source) -> source.Splits:
        fractions = (1 - validation_fraction - test_fraction, validation_fraction, test_fraction)
        return source.Splits(*source.split(read, fractions, seed))

    def prepared() -> source.Splits:
        data_dir, manual_dir, label = tfds_fields
        return tfds.load(
            where, data_dir=data_dir or None, manual_dir=manual_dir or None, label=label, **shares
        )

    loaders = {
        "digits": lambda: digits.load(**shares),
        "tfds": prepared,
        "npz": lambda: whole(npz.load(where)),
        "folder": lambda: whole(folder.load(where)),
    }
    return choose("data.source", kind, loaders)()


def _stamp(kind: str, where: str) -> int:
    """Another number when the user's files have changed, by their names, sizes and times."""
    if kind not in ("npz", "folder"):
        return 0
    path = pathlib.Path(where)
    found = sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists()
    facts = ((str(file), file.lstat()) for file in found)
    return hash(tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in facts))


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    return config.data.image_size, config.data.image_size, config.data.channels


def held_out(splits: source.Splits, field: str, name: str) -> source.Source:
    """The validation or the test split, whichever `field` names."""
    return choose(field, name, {"validation": splits.validation, "test": splits.test})


def examples(config: ConfigDict) -> source.Source:
    """The real images that the editing section names, the classes taking turns."""
    splits = build_splits(config.data, config.seed)
    split = held_out(splits, "editing.split", config.editing.split)
    return source.in_turn(split, config.editing.num_images, config.seed)
