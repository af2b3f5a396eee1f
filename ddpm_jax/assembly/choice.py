"""Choose a part by its name in the config, and a stream of random numbers by its purpose."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key
from ml_collections import ConfigDict


def choose(field: str, name: str, known: Mapping[str, Any]) -> Any:
    """What is known by `name`; raises ValueError listing the known names."""
    if name not in known:
        raise ValueError(f"{field} is {name!r}; known: {', '.join(known)}")
    return known[name]


class Option(NamedTuple):
    """One of several choices, and the fields that it reads but not all others do.

    `build` takes the arguments common to all choices, then the values of these fields. Fields reach it
    in no other way, so every field that it reads is named; `options.check` relies on the names.
    """

    build: Callable[..., Any]
    reads: tuple[str, ...] = ()


def build(
    field: str, name: str, known: Mapping[str, Option], section: ConfigDict, *given: Any
) -> Any:
    """Build what `name` stands for, from `given` and its fields of the section. Raises like `choose`."""
    option = choose(field, name, known)
    return option.build(*given, *(section[read] for read in option.reads))


def key_for(seed: int, purpose: str) -> Key[Array, ""]:
    """An independent stream for each purpose, from one seed."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
