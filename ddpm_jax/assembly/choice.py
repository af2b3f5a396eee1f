"""A part by its name in the config, and a stream of random numbers by its purpose."""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, Key


def choose(field: str, name: str, known: Mapping[str, Any]) -> Any:
    """Raises ValueError listing the known names."""
    if name not in known:
        raise ValueError(f"{field} is {name!r}; known: {', '.join(known)}")
    return known[name]


def key_for(seed: int, purpose: str) -> Key[Array, ""]:
    """Independent streams of one seed, by name."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
