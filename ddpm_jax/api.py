"""The program in Python, NumPy in and out: train, load, what images are worth, and pictures of images."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict
from PIL import Image

from ddpm_jax import config_files, rundir
from ddpm_jax.assembly import classifiers
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import classify
from ddpm_jax.jobs import train as training
from ddpm_jax.measuring import outcomes
from ddpm_jax.measuring.labelled import Labelled
from ddpm_jax.model import Labels, Model
from ddpm_jax.models import trained
from ddpm_jax.types import Pixels
from ddpm_jax.viz import pictures


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
    are called by their numbers. Raises ValueError if an argument is not as wanted, and if the work directory
    has other images.
    """
    if config.budget.minutes:
        raise ValueError(
            f"budget.minutes is {config.budget.minutes:g}; wanted 0, as only the command line measures what "
            "fits into a budget: set training.num_steps and the fields of the network instead"
        )
    given, folder = _source(images, labels, tuple(map(str, class_names))), pathlib.Path(workdir)
    path = folder / "images.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npz.save(path, source.decode(given), given.labels, given.class_names, {})
    elif source.fingerprint(npz.load(path)) != source.fingerprint(given):
        raise ValueError(f"{path} holds other images; give another workdir")
    config = config.copy_and_resolve_references()
    config.data.source = f"npz:{path}"
    config.data.image_size, config.data.channels = images.shape[1], images.shape[3]
    training.run(config, folder)
    return load(folder)


def _source(images: Pixels, labels: Labels, names: tuple[str, ...]) -> source.Source:
    """The arrays as a source. Raises ValueError if a file of them could not be read again."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; wanted uint8 [N, H, W, C], at least one"
        )
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images are {images.shape[1:3]}; wanted as many rows as columns")
    if images.shape[3] not in (1, 3):
        raise ValueError(f"images have {images.shape[3]} channels; wanted 1 (gray) or 3 (RGB)")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels are {labels.dtype} of shape {labels.shape}; wanted integers [{len(images)}], one for "
            "each image"
        )
    num_classes = len(names or np.unique(labels))
    if labels.min() < 0 or labels.max() >= num_classes:
        why = f"for {num_classes} class_names" if names else "with no gap, or class_names"
        raise ValueError(
            f"labels are from {labels.min()} to {labels.max()}; wanted 0 to {num_classes - 1}, {why}"
        )
    for name in names:
        if not name or not name.isprintable():
            raise ValueError(f"class_names has {name!r}; wanted names that can be printed")
    names = names or tuple(map(str, range(num_classes)))
    return source.from_arrays(images, labels.astype(np.int32), names, "images")


def worth(
    real: tuple[UInt8[np.ndarray, "R H W C"], Int[np.ndarray, " R"] | list[int]],
    synthetic: tuple[UInt8[np.ndarray, "S H W C"], Int[np.ndarray, " S"] | list[int]],
    test: tuple[UInt8[np.ndarray, "T H W C"], Int[np.ndarray, " T"] | list[int]],
    config: ConfigDict | None = None,
) -> dict[str, dict[str, Any]]:
    """What synthetic images are worth to a classifier: images and labels in, results by arm out.

    `config` has a classifier section, whose `arms` are trained; without it, that of configs/classifier.py
    is taken. A result has `accuracy` on the test images with `ci95` over seeds, `gain_over_real` with
    `gain_ci95` (all shares of 1), and more: it is that of `--mode=classify`. Raises ValueError if there is no
    arm "real", or only one seed.
    """
    config = config_files.get_config("classifier") if config is None else config
    classifiers.check(config.classifier)
    first, made, held_out = (
        Labelled(x, np.asarray(y, np.int32)) for x, y in (real, synthetic, test)
    )
    num_classes = int(first.label.max()) + 1
    trainer = classifiers.build_trainer(
        config.classifier, config.seed, first.image.shape[1:], num_classes
    )
    sets = classify.build_arms(config, first, made, trainer, num_classes)
    found: dict[str, list[dict[str, Any]]] = {}
    classify.train_arms(config.classifier, trainer, sets, held_out, num_classes, found)
    return {
        arm: outcomes.summarize(found[arm], found["real"], of.num_real + of.num_added)
        for arm, of in sets.items()
    }


def grid(
    images: Pixels | UInt8[np.ndarray, "rows columns H W C"],
    columns: int | None = None,
    *,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    title: str = "",
) -> Image.Image:
    """One picture of many images, which a notebook shows and whose `save` writes a file.

    Images are in reading order, or in rows and columns as the array has them, and enlarged by a whole factor,
    so that small ones can be seen. `captions` has a text for below each image.
    """
    if images.ndim == 5:
        columns, images = images.shape[1], images.reshape(-1, *images.shape[2:])
    labels = {"row_labels": row_labels, "column_labels": column_labels, "captions": captions}
    return Image.fromarray(pictures.grid(images, columns, title=title, **labels))
