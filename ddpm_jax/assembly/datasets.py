"""From the data section to images."""

import functools

from ml_collections import ConfigDict, FrozenConfigDict

from ddpm_jax.assembly.choice import choose
from ddpm_jax.data import digits, folder, npz, source, tfds


def build_splits(config: ConfigDict, seed: int) -> source.Splits:
    """Train, validation and test images in the config's size, channels and classes; disjoint.

    Decoded once where they fit into `memory_mib`, and those of TFDS, which do not change once they are
    prepared, once for all stages of a chain: 70,000 images take half a minute on two slow cores.
    """
    if config.source.startswith("tfds:"):
        return _prepared(FrozenConfigDict(config), seed)
    return _build(config, seed)


@functools.lru_cache(maxsize=1)
def _prepared(config: FrozenConfigDict, seed: int) -> source.Splits:
    return _build(config, seed)


def _build(config: ConfigDict, seed: int) -> source.Splits:
    kind, _, where = config.source.partition(":")
    shares = {"validation": config.validation_fraction, "test": config.test_fraction, "seed": seed}

    def whole(read: source.Source) -> source.Splits:
        fractions = (
            1 - shares["validation"] - shares["test"],
            shares["validation"],
            shares["test"],
        )
        return source.Splits(*source.split(read, fractions, seed))

    loaders = {
        "digits": lambda: digits.load(**shares),
        "tfds": lambda: tfds.load(
            where,
            data_dir=config.data_dir or None,
            manual_dir=config.manual_dir or None,
            label=config.label,
            **shares,
        ),
        "npz": lambda: whole(npz.load(where)),
        "folder": lambda: whole(folder.load(where)),
    }
    splits = choose("data.source", kind, loaders)()
    return source.Splits(*(_prepare(config, split) for split in splits))


def _prepare(config: ConfigDict, split: source.Source) -> source.Source:
    if config.classes and config.groups:
        raise ValueError("data.classes and data.groups are both given; give one of them")
    if config.classes:
        split = source.keep_classes(split, config.classes)
    if config.groups:
        split = source.group_classes(split, config.groups.to_dict())
    split = source.resize(split, config.image_size, config.channels)
    return source.in_memory(split) if source.fits(split, config.memory_mib << 20) else split


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
