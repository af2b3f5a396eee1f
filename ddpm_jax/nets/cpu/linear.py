"""The derivative of a function linear in x and in a kernel; each gradient has its own program."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def derivative(function: Callable, for_input: Callable, for_kernel: Callable) -> Callable:
    """The rule for `custom_jvp` with `symbolic_zeros`; all three functions compute the same.

    JAX transposes `for_input` in x and `for_kernel` in the kernel to get the gradients.
    """

    def rule(primals, tangents):
        (x, kernel), (dx, dkernel) = primals, tangents
        out = function(x, kernel)
        change = jnp.zeros_like(out)
        if not isinstance(dx, SymbolicZero):
            change += for_input(dx, kernel)
        if not isinstance(dkernel, SymbolicZero):
            change += for_kernel(x, dkernel)
        return out, change

    return rule
