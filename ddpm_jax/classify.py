r"""What a synthetic set is worth to a classifier, how far it is from real images, and whether it copies.

    python -m ddpm_jax.classify --real=folder:photos --synthetic=folder:made \
        --config.data.image_size=32 --config.data.channels=3

A program of its own: any generator may have made the synthetic images. Let it see the training images
only: a folder that is divided into train/ and test/ is taken as divided.
"""

import pathlib
from collections.abc import Container

from absl import flags
from ml_collections import ConfigDict

from ddpm_jax import command_line

REAL = flags.DEFINE_string(
    "real",
    None,
    "Real images: digits, tfds:NAME, hf:NAME, npz:PATH or folder:PATH; the config's, if not given.",
)
SYNTHETIC = flags.DEFINE_string(
    "synthetic",
    None,
    "Synthetic images: an .npz file, or a source like --real; without it only real images are trained on.",
)
flags.adopt_module_key_flags(command_line)


def main() -> int:
    from ddpm_jax.assembly import options
    from ddpm_jax.jobs import classify, compare, evaluate, report

    config, workdir = command_line.config(), command_line.workdir()
    if REAL.value:
        config.data.source = REAL.value
    given = command_line.settings()
    options.check(config, given)
    require_size(config.data, given)
    classify.check(config)
    synthetic = find(config, workdir, SYNTHETIC.value) if SYNTHETIC.value else None
    if synthetic:
        check(config, synthetic)
    if synthetic and "evaluation" in config:
        evaluate.run.on(config, workdir, synthetic)
    classify.run.on(config, workdir, synthetic)
    compare.run(config, workdir, synthetic)
    report.run(config, workdir, synthetic)
    return 0


def require_size(data: ConfigDict, given: Container[str]) -> None:
    """Raises ValueError if other images than digits would be compared at the size of digits, the default.

    given: dotted names of the fields that the config file or the command line sets.
    """
    if data.source != "digits" and "data.image_size" not in given:
        raise ValueError(
            f"data.image_size is not given, so the images of {data.source} would be compared at "
            f"{data.image_size}x{data.image_size} pixels; give --config.data.image_size=SIDE, and "
            "--config.data.channels=3 if they have colors"
        )


def find(config: ConfigDict, workdir: pathlib.Path, name: str) -> pathlib.Path:
    """The .npz of the synthetic images; made in the work directory if they are of another kind."""
    from ddpm_jax.assembly import datasets
    from ddpm_jax.data import npz, source

    if ":" not in name or name.startswith("npz:"):
        return pathlib.Path(name.removeprefix("npz:"))
    made = datasets.whole(config.data, name, config.seed)
    file = workdir / "judged.npz"  # not synthetic.npz, which may be a run's
    workdir.mkdir(parents=True, exist_ok=True)
    npz.save(file, source.decode(made), made.labels, made.class_names, {"source": name})
    return file


def check(config: ConfigDict, synthetic: pathlib.Path) -> None:
    """Refuse, before minutes of measuring, a set that classifiers could not be trained on.

    Raises ValueError if its images have another size than the real ones, no labels, or other classes.
    """
    from ddpm_jax.assembly import datasets
    from ddpm_jax.measuring import labelled

    train = datasets.build_splits(config.data, config.seed).train
    labelled.read_synthetic(synthetic, train.class_names, train.read(0).shape)


def program() -> None:
    """What the console script runs."""
    command_line.run(main, config_default="classifier")


if __name__ == "__main__":
    program()
