"""scikit-learn's bundled digits: 1,797 handwritten digits of 8 x 8 pixels, no download."""

import numpy as np

from ddpm_jax.data import division, source
from ddpm_jax.data.source import Splits


def load(*, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Splits:
    """The digits, in parts of the given fractions; there is no official split."""
    import sklearn.datasets  # takes 1 s, so only when it is needed

    bunch = sklearn.datasets.load_digits()
    # Ink is 0..16 in the file (the count of set pixels in a 4 x 4 block).
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    names = [str(name) for name in bunch.target_names]
    whole = source.from_arrays(images, bunch.target.astype(np.int32), names, "digits")
    return Splits(*division.split(whole, (1 - validation - test, validation, test), seed))
