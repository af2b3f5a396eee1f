"""--mode=copies: how many images of the synthetic set are copies of training images, in pixels.

--mode=evaluate also looks for copies in features, and shows the closest pairs; this takes a minute less.
"""

from typing import Any

from ml_collections import ConfigDict

from ddpm_jax import run_files, stages
from ddpm_jax.assembly import datasets, variants
from ddpm_jax.data import npz, source
from ddpm_jax.measuring import copies
from ddpm_jax.models import trained_on


@stages.stage("copies", "export")
def run(config: ConfigDict, files: run_files.Files) -> dict[str, Any]:
    synthetic = files.synthetic()
    assert synthetic is not None  # if it is missing, `files.synthetic` raises
    splits = datasets.build_splits(config.data, config.seed)
    trained_on.require(synthetic, config.data, splits.train)
    made = source.decode(npz.load(synthetic))
    train, test = source.decode(splits.train), source.decode(splits.test)
    sought = variants.build_sought(config, test)
    found = copies.in_pixels(made, train, test, sought)
    print(
        f"{100 * found['share']:.1f} % of {len(made):,} synthetic images are copies in pixels; "
        f"{100 * found['expected_share']:.1f} % expected of new real images",
        flush=True,
    )
    return found | {
        "n": len(made),
        "n_train": len(train),
        "n_test": len(test),
        "looked_for": sought.in_words,
        "seed": config.seed,
    }
