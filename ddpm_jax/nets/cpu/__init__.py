"""Versions of the networks' operations that are faster on a CPU, and the decorator that selects them.

A network calls the plain operation. `on_cpu` decorates its definition and names the function of this
folder that replaces it in a program for a CPU. No other file of `nets` asks for the platform.
"""

from collections.abc import Callable
from functools import cache, partial, wraps

import jax
from jax import lax
from jaxtyping import Array

Operation = Callable[..., Array]


def choose(plain: Operation, faster: Operation, *arrays: Array) -> Array:
    """Choose by the platform that the program is lowered for, not the one that traces it.

    JAX traces both sides once for arrays of the same shapes if the two functions are the same objects.
    """
    return lax.platform_dependent(*arrays, cpu=faster, default=plain)


def on_cpu(faster: Operation) -> Callable[[Operation], Operation]:
    """Use `faster` on a CPU. It returns what the decorated function does, up to rounding."""

    def decorate(plain: Operation) -> Operation:
        @cache
        def sides(**fixed: int) -> tuple[Operation, Operation]:
            """Both functions, the same objects at each call.

            For the gradient each saves only the arrays: intermediate results would appear, as zeros,
            in the programs of the other. XLA computes nothing twice because of this.
            """

            def remade(operation: Operation) -> Operation:
                return jax.checkpoint(partial(operation, **fixed), prevent_cse=False)

            return remade(plain), remade(faster)

        @wraps(plain)
        def either(*arrays: Array, **fixed: int) -> Array:
            return choose(*sides(**fixed), *arrays)

        return either

    return decorate
