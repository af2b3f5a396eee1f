"""scikit-learn's bundled digits: 1,797 handwritten digits of 8 x 8 pixels, no download."""

from importlib import metadata

import numpy as np

from ddpm_jax.data import division, source
from ddpm_jax.data.source import Splits


def load(*, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Splits:
    """The digits, in parts of the given fractions; there is no official split."""
    # The file of `sklearn.datasets.load_digits`. Importing scikit-learn for it would take 2 s.
    file = metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    rows = np.loadtxt(str(file), delimiter=",")  # 64 pixels and the digit
    # Ink is 0..16 in the file (the count of set pixels in a 4 x 4 block).
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    whole = source.from_arrays(images, rows[:, -1].astype(np.int32), list("0123456789"), "digits")
    return Splits(*division.split(whole, (1 - validation - test, validation, test), seed))
