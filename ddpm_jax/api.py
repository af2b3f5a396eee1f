"""The program in Python, NumPy in and out: train, load, draw, and what images are worth."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict

from ddpm_jax import config_files, rundir
from ddpm_jax.assembly import classifiers, denoising
from ddpm_jax.data import npz, source
from ddpm_jax.diffusion import predictions
from ddpm_jax.jobs import classify
from ddpm_jax.jobs import train as training
from ddpm_jax.measuring import labelled, outcomes
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.models import trained
from ddpm_jax.types import Pixels

Labels = Int[np.ndarray, "N"] | list[int]


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
        labels: Labels,
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

    def denoiser(self, labels: Labels) -> predictions.Denoiser:
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

    def _checked(self, labels: Labels) -> Int[np.ndarray, "N"]:
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


def load(
    workdir: str | os.PathLike[str], checkpoint: str | int = "newest", average: str | float = "ema"
) -> Model:
    """The model that was trained in a work directory, with its averaged weights.

    `checkpoint` is "newest", "best" (by validation loss) or a step. `average` is "ema", a width of
    `optim.averages`, or "best" of these. Raises FileNotFoundError if there is no such checkpoint,
    ValueError if it has no such average.
    """
    folder = pathlib.Path(workdir)
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} holds no run; wanted the --workdir of a training")
    config = ConfigDict(_with_tuples(rundir.read_json(folder / "config.json")["config"]))
    config.sampling.checkpoint, config.sampling.average = str(checkpoint), str(average)
    return Model(config, trained.load_model(config, rundir.checkpoints(folder)))


def _with_tuples(value: Any) -> Any:
    """JSON has lists where a config has tuples."""
    if isinstance(value, dict):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def train(
    images: Pixels,
    labels: Labels,
    config: ConfigDict,
    workdir: str | os.PathLike[str],
    class_names: Sequence[str] = (),
) -> Model:
    """Train a model on images in memory, and load it. The same call resumes an interrupted training.

    The images, uint8 and square, are kept in `workdir/images.npz`, and the data section of `config` is set to
    them; validation and test images are taken from them as it says. Without `class_names` the classes
    are called by their numbers. Raises ValueError if the work directory has other images.
    """
    folder, labels = pathlib.Path(workdir), np.asarray(labels, np.int32)
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images are {images.shape[1:3]}; wanted as many rows as columns")
    names = tuple(class_names) or tuple(map(str, range(labels.max() + 1)))
    given, path = source.from_arrays(images, labels, names, "images"), folder / "images.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npz.save(path, images, labels, names, {})
    elif source.fingerprint(npz.load(path)) != source.fingerprint(given):
        raise ValueError(f"{path} holds other images; give another workdir")
    config = config.copy_and_resolve_references()
    config.data.source = f"npz:{path}"
    config.data.image_size, config.data.channels = images.shape[1], images.shape[3]
    training.run(config, folder)
    return load(folder)


def worth(
    real: tuple[UInt8[np.ndarray, "R H W C"], Int[np.ndarray, "R"] | list[int]],
    synthetic: tuple[UInt8[np.ndarray, "S H W C"], Int[np.ndarray, "S"] | list[int]],
    test: tuple[UInt8[np.ndarray, "T H W C"], Int[np.ndarray, "T"] | list[int]],
    config: ConfigDict | None = None,
) -> dict[str, dict[str, Any]]:
    """What synthetic images are worth to a classifier: images and labels in, results by arm out.

    `config` has a classifier section, whose `arms` are trained; without it, that of configs/classifier.py
    is taken. A result has `accuracy` on the test images with `ci95` over seeds, `gain_over_real` with
    `gain_ci95` (all shares of 1), and more: it is that of `--mode=classify`.
    """
    config = config_files.get_config("classifier") if config is None else config
    first, made, held_out = (
        Labelled(x, np.asarray(y, np.int32)) for x, y in (real, synthetic, test)
    )
    num_classes = int(first.label.max()) + 1
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, first.image.shape[1:], num_classes
    )
    sets = classify.build_arms(config, first, made, trainer, num_classes)
    found: dict[str, list[dict[str, Any]]] = {}
    for arm, of in sets.items():
        found[arm] = [
            outcome
            for seeds in classify.seed_groups(config.classifier)
            for outcome in labelled.measure(
                trainer, of.images, held_out, seeds, num_classes, augmented=of.augmented
            )
        ]
    return {
        arm: outcomes.summarize(found[arm], found["real"], of.num_real + of.num_added)
        for arm, of in sets.items()
    }
