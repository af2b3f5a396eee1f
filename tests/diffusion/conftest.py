import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def _compile_quickly():
    """These tests run hundreds of tiny programs once each: compiling is nearly all of their time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
