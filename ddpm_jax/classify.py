"""What a synthetic set is worth to a classifier: arrays in, accuracies on real test images out.

    python -m ddpm_jax.classify --config=configs/classifier.py --real=tfds:fashion_mnist --synthetic=x.npz

A program of its own: it knows nothing of how the synthetic images were made.
"""

import pathlib

from absl import flags

from ddpm_jax import command_line

REAL = flags.DEFINE_string(
    "real",
    None,
    "Real images: digits, tfds:NAME, npz:PATH or folder:PATH; the config's, if not given.",
)
SYNTHETIC = flags.DEFINE_string(
    "synthetic", None, "Synthetic images, an .npz file; without it only real images are trained on."
)
flags.adopt_module_key_flags(command_line)


def main() -> int:
    from ddpm_jax.assembly import options
    from ddpm_jax.jobs import classify, compare

    config, workdir = command_line.config(), command_line.workdir()
    if REAL.value:
        config.data.source = REAL.value
    options.check(config, command_line.settings())
    synthetic = pathlib.Path(SYNTHETIC.value) if SYNTHETIC.value else None
    classify.run.on(config, workdir, synthetic)
    compare.run(config, workdir)
    return 0


def program() -> None:
    """What the console script runs."""
    command_line.run(main, config_default="classifier")


if __name__ == "__main__":
    program()
