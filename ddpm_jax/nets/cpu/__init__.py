"""The networks' operations once more, faster on a CPU, and the door that leads to them.

A network calls the plain operation. `on_cpu` stands above its definition and names the function of
this folder that takes its place in a program for a CPU. No other file asks for the platform, and
nothing in this folder does.
"""

from collections.abc import Callable
from functools import partial, wraps

import jax
from jax import lax
from jaxtyping import Array

Operation = Callable[..., Array]


def choose(plain: Operation, faster: Operation, *arrays: Array) -> Array:
    """The platform that the program is lowered for decides, not the one that traces it.

    Differentiated, each side keeps the arrays alone: what it computes from them on the way would
    stand, as zeros, in the programs of the other. XLA computes nothing twice for it.
    """
    plain, faster = (jax.checkpoint(each, prevent_cse=False) for each in (plain, faster))
    return lax.platform_dependent(*arrays, cpu=faster, default=plain)


def on_cpu(faster: Operation) -> Callable[[Operation], Operation]:
    """Take `faster` on a CPU. It returns what the decorated function does, up to rounding."""

    def decorate(plain: Operation) -> Operation:
        @wraps(plain)
        def either(*arrays: Array, **fixed: int) -> Array:
            return choose(partial(plain, **fixed), partial(faster, **fixed), *arrays)

        return either

    return decorate
