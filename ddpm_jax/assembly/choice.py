"""A part by its name in the config, and a stream of random numbers by its purpose."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key
from ml_collections import ConfigDict


def choose(field: str, name: str, known: Mapping[str, Any]) -> Any:
    """Raises ValueError listing the known names."""
    if name not in known:
        raise ValueError(f"{field} is {name!r}; known: {', '.join(known)}")
    return known[name]


class Option(NamedTuple):
    """One of several to choose from, and the fields that it reads and not all of the others do.

    `build` takes what all of them are given, then the values of these fields. Nothing else passes a
    field on, so that no field can be read and not be named: `options.check` goes by the names.
    """

    build: Callable[..., Any]
    reads: tuple[str, ...] = ()


def build(
    field: str, name: str, known: Mapping[str, Option], section: ConfigDict, *given: Any
) -> Any:
    """What `name` stands for, from `given` and its fields of the section. Raises as `choose` does."""
    option = choose(field, name, known)
    return option.build(*given, *(section[read] for read in option.reads))


def key_for(seed: int, purpose: str) -> Key[Array, ""]:
    """Independent streams of one seed, by name."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
