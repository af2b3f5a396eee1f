"""Parameters and compiled functions at a hundredth of their usual price."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def compiled():
    """jit without LLVM's optimizations: these nets are compiled for longer than they run."""
    return partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="session")
def fill():
    """Parameters drawn by NumPy, so that nothing that starts at zero hides an effect."""

    def fill(net, *args):
        shapes = jax.eval_shape(net.init, jax.random.key(0), *args)
        draw = np.random.default_rng(7).standard_normal
        return jax.tree.map(lambda leaf: jnp.asarray(0.1 * draw(leaf.shape), leaf.dtype), shapes)

    return fill


@pytest.fixture(scope="session")
def count():
    def count(net, size, channels=3, label=False):
        inputs = [jnp.zeros((1, size, size, channels)), jnp.ones(1)]
        inputs += [jnp.zeros(1, int)] if label else []
        shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    return count
