"""From a labelled image dataset to a diffusion model, a synthetic dataset, and what that is worth."""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpm_jax.api import Model, grid, load, train, worth
    from ddpm_jax.config_files import get_config

__all__ = ["Model", "__version__", "get_config", "grid", "load", "train", "worth"]


def __getattr__(name: str) -> Any:
    """Import JAX when it is asked for: the program reads its flags first."""
    if name == "__version__":
        return importlib.metadata.version("ddpm_jax")
    if name in __all__:
        module = "config_files" if name == "get_config" else "api"
        return getattr(importlib.import_module(f"ddpm_jax.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
