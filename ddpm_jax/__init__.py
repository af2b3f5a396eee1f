"""From a labelled image dataset to a diffusion model, a synthetic dataset, and what that is worth."""

import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpm_jax.api import Model, load

__all__ = ["Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import JAX when it is asked for: the program reads its flags first."""
    if name == "__version__":
        return importlib.metadata.version("ddpm_jax")
    if name in __all__:
        from ddpm_jax import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
