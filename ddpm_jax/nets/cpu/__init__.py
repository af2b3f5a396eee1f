"""Versions of the networks' operations that are faster on a CPU, and the decorator that selects them.

A network calls the plain operation. `on_cpu` decorates its definition and names the function of this
folder that replaces it in a program for a CPU. No other file of `nets` asks for the platform.
"""

from collections.abc import Callable
from functools import partial, wraps

import jax
from jax import lax
from jaxtyping import Array

Operation = Callable[..., Array]


def choose(plain: Operation, faster: Operation, *arrays: Array) -> Array:
    """Choose by the platform that the program is lowered for, not the one that traces it.

    For the gradient each side saves only the arrays: intermediate results would appear, as zeros, in
    the programs of the other side. XLA computes nothing twice because of this.
    """
    plain, faster = (jax.checkpoint(each, prevent_cse=False) for each in (plain, faster))
    return lax.platform_dependent(*arrays, cpu=faster, default=plain)


def on_cpu(faster: Operation) -> Callable[[Operation], Operation]:
    """Use `faster` on a CPU. It returns what the decorated function does, up to rounding."""

    def decorate(plain: Operation) -> Operation:
        @wraps(plain)
        def either(*arrays: Array, **fixed: int) -> Array:
            return choose(partial(plain, **fixed), partial(faster, **fixed), *arrays)

        return either

    return decorate
