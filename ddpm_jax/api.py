"""A trained model in Python: what `ddpm_jax.load` returns. NumPy in and out."""

import os
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from ddpm_jax import rundir
from ddpm_jax.assembly import denoising
from ddpm_jax.diffusion import predictions
from ddpm_jax.models import trained
from ddpm_jax.types import Pixels

Labels = Int[np.ndarray, "N"]


class Model:
    """A trained model. `class_names[label]` is what a label means."""

    def __init__(self, config: ConfigDict, model: trained.Model) -> None:
        self.config = config
        """That of the run; a change of its `sampling` section changes what is drawn."""
        self.class_names = model.class_names
        self.step: int = model.facts["step"]
        """The checkpoint's."""
        self._model = model

    def sample(
        self,
        labels: Labels | list[int],
        *,
        seed: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        solver: str | None = None,
        first: int = 0,
    ) -> Pixels:
        """Draw one image for each label. Image i is image `first + i` of `--mode=export` with this seed
        and `export.start=1`.

        What is None is as in the run's config: `seed`, `sampling.num_steps`, `sampling.guidance_scale` and
        `sampling.solver`. Raises ValueError if a label is none of the model's classes.
        """
        config = self._with(num_steps=steps, guidance_scale=guidance, solver=solver, seed=seed)
        model = self._model
        draw = trained.build_draw(config, model.net, model.table, "export")
        return np.concatenate(list(draw(model.weights, self._checked(labels), first)))

    def denoiser(self, labels: Labels | list[int]) -> predictions.Denoiser:
        """`denoise(xt, level) -> (x0, eps, ...)` for images of these labels, guided as the config says.

        It goes with everything in `ddpm_jax.diffusion`; `levels` has the noise levels.
        """
        checked = jnp.asarray(self._checked(labels), jnp.int32)
        return denoising.build_denoiser(self.config, self._model.net, self._model.weights, checked)

    @property
    def levels(self) -> Any:
        """The levels that the sampler walks, noisiest first: a `schedules.Level`."""
        return denoising.build_steps(self.config.sampling, self._model.table)

    def _with(self, *, seed: int | None, **sampling: Any) -> ConfigDict:
        config = self.config.copy_and_resolve_references()
        config.seed = config.seed if seed is None else seed
        config.sampling.update(
            {name: value for name, value in sampling.items() if value is not None}
        )
        return config

    def _checked(self, labels: Labels | list[int]) -> Labels:
        found = np.asarray(labels)
        if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
            raise ValueError(
                f"labels are {found.dtype} of shape {found.shape}; wanted integers [N], at least one"
            )
        if found.min() < 0 or found.max() >= len(self.class_names):
            raise ValueError(
                f"labels are from {found.min()} to {found.max()}; wanted 0 to {len(self.class_names) - 1}, "
                f"the classes {', '.join(self.class_names)}"
            )
        return found


def load(workdir: str | os.PathLike[str], checkpoint: str | int = "newest") -> Model:
    """The model that was trained in a work directory, with its averaged weights.

    `checkpoint` is "newest", "best" (by validation loss) or a step. Raises FileNotFoundError if there is
    no such checkpoint.
    """
    folder = pathlib.Path(workdir)
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} holds no run; wanted the --workdir of a training")
    config = ConfigDict(_with_tuples(rundir.read_json(folder / "config.json")["config"]))
    config.sampling.checkpoint = str(checkpoint)
    return Model(config, trained.load_model(config, rundir.checkpoints(folder)))


def _with_tuples(value: Any) -> Any:
    """JSON has lists where a config has tuples."""
    if isinstance(value, dict):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
