"""How alike two pictures of the same thing are: peak signal-to-noise ratio and structural similarity."""

import numpy as np
import scipy.ndimage
from jaxtyping import Float

from ddpm_jax.types import Pixels

WINDOW_SIGMA = 1.5
WINDOW_RADIUS = 5


def psnr(images: Pixels, originals: Pixels) -> Float[np.ndarray, " N"]:
    """PSNR of each image in decibels; infinite where nothing differs."""
    error = np.mean((images.astype(np.float64) - originals) ** 2, axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error)


def ssim(images: Pixels, originals: Pixels) -> Float[np.ndarray, " N"]:
    """SSIM of each image, -1 to 1 (Wang et al. 2004, eq. 13, Gaussian window; edges are reflected)."""
    x, y = images.astype(np.float64), originals.astype(np.float64)

    def smooth(values: np.ndarray) -> np.ndarray:
        return scipy.ndimage.gaussian_filter(
            values, WINDOW_SIGMA, radius=WINDOW_RADIUS, axes=(1, 2)
        )

    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    small_mean, small_variance = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + small_mean) / (mean_x**2 + mean_y**2 + small_mean)
    structure = (2 * covariance + small_variance) / (variance_x + variance_y + small_variance)
    return np.mean(luminance * structure, axis=(1, 2, 3))
