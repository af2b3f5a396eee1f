"""PSNR by hand, SSIM against a loop over pixels."""

import numpy as np
import pytest

from ddpm_jax.evaluation import similarity


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (2, 12, 12, 1), dtype=np.uint8)
    noise = rng.integers(-20, 20, first.shape)
    return first, np.clip(first + noise, 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    """An error of 16 everywhere: 20 log10(255 / 16) = 24.05 dB."""
    black, gray = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 16, np.uint8)
    assert similarity.psnr(gray, black)[0] == pytest.approx(24.0482, abs=1e-3)
    assert np.isinf(similarity.psnr(black, black)[0])


def test_ssim_agrees_with_a_loop_over_pixels(pair):
    """Wang et al. 2004, eq. 13, an 11x11 Gaussian window of sigma 1.5, edges mirrored."""
    x, y = (images[0, :, :, 0].astype(np.float64) for images in pair)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    padded = [np.pad(image, 5, mode="symmetric") for image in (x, y)]
    values = []
    for row in range(12):
        for column in range(12):
            a, b = (image[row : row + 11, column : column + 11] for image in padded)
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append(
                (2 * mean_a * mean_b + c1)
                * (2 * cov + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    assert similarity.ssim(*pair)[0] == pytest.approx(np.mean(values), abs=1e-9)


def test_an_image_is_like_itself(pair):
    np.testing.assert_allclose(similarity.ssim(pair[0], pair[0]), 1.0)
