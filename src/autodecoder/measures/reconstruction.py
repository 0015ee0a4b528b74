"""Measures of reconstructions: squared error, signal-to-noise ratio and structural similarity."""

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from autodecoder.measures.evaluation import TITLES
from autodecoder.measures.record import MISSING, Record

#: Largest signal-to-noise ratio of an image in dB, so that a perfect one is finite.
_MOST_DB = 100.0
#: Side and standard deviation of the Gaussian window of SSIM in pixels, and its two constants for a
#: range of 1, all from Wang et al. 2004.
_SSIM_SIDE = 11
_SSIM_SIGMA, _SSIM_C1, _SSIM_C2 = 1.5, 0.01**2, 0.03**2
#: Images that are compared at once, which bounds memory.
_BLOCK = 500


def measure_reconstruction(
    record: Record,
    images: Float32[np.ndarray, "n values"],
    reconstructions: Float32[np.ndarray, "n values"],
    weights: Shaped[np.ndarray, "n values"] | None,
    image_shape: tuple[int, int, int] | None,
) -> None:
    """Record the measures of reconstructions.

    Parameters
    ----------
    record : Record
    images, reconstructions : (n, values)
        Pixels in [0, 1], or standardised features.
    weights : (n, values), optional
        Weights of the values; 0 for missing ones.
    image_shape : (height, width, channels), optional
        `None` for features.
    """
    errors = squared_errors(images, reconstructions, weights)
    mean = float(errors.mean())
    if image_shape is None:
        record.take("reconstruction", {"mse_standardize": mean})
        names = [name for name in TITLES["reconstruction"] if name != "mse_standardize"]
        record.leave(names, "features have no range of pixels")
        return
    of_images, of_mean = to_psnr(errors), to_psnr(np.array([mean]))
    found = {
        "mse_standard": 4 * mean,  # [-1, 1] is twice as wide as [0, 1]
        "mse_zero_one": mean,
        "psnr": float(of_images.mean()),
        "psnr_of_mean": float(of_mean[0]),
    }
    record.take("reconstruction", found)
    if weights is not None:
        record.leave(["ssim"], MISSING)
    elif min(image_shape[:2]) < _SSIM_SIDE:
        record.leave(["ssim"], f"images of {_SSIM_SIDE} × {_SSIM_SIDE} pixels or more are needed")
    else:
        pair = (values.reshape(-1, *image_shape) for values in (images, reconstructions))
        record.take("reconstruction", {"ssim": float(ssim(*pair).mean())})


def squared_errors(
    images: Float[np.ndarray, "n values"],
    reconstructions: Float[np.ndarray, "n values"],
    weights: Shaped[np.ndarray, "n values"] | None = None,
) -> Float64[np.ndarray, " n"]:
    """Mean squared error of each image over its values, or weighted by `weights`, 0 or more; NaN
    for an image whose weights are all 0."""
    errors = np.empty(len(images))
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        squares = (images[rows].astype(np.float64) - reconstructions[rows]) ** 2
        if weights is None:
            errors[rows] = squares.mean(axis=1)
            continue
        total = weights[rows].sum(axis=1, dtype=np.float64)
        unknown = np.where(total > 0, 1, np.nan)
        weighted = np.where(weights[rows] > 0, weights[rows] * squares, 0).sum(axis=1)
        errors[rows] = unknown * weighted / np.where(total > 0, total, 1)
    return errors


def to_psnr(errors: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Peak signal-to-noise ratio in dB, `-10 log10(error)`, at most 100.

    Parameters
    ----------
    errors : (n,)
        Mean squared errors of pixels in [0, 1].
    """
    return -10 * np.log10(np.maximum(errors, 10 ** (-_MOST_DB / 10)), dtype=np.float64)


def ssim(
    images: Float[np.ndarray, "n height width channels"],
    reconstructions: Float[np.ndarray, "n height width channels"],
) -> Float64[np.ndarray, " n"]:
    """Structural similarity of each image and its reconstruction, from -1 to 1 (equal).

    Means, variances and covariance are weighted by a Gaussian window of 11 × 11 pixels, placed
    wherever it lies inside the image. The result is the mean over places and channels of
    `(2 m_x m_y + C1)(2 s_xy + C2) / ((m_x² + m_y² + C1)(s_x² + s_y² + C2))`.

    Parameters
    ----------
    images, reconstructions : (n, height, width, channels)
        Pixels in [0, 1]; height and width of at least 11.

    References
    ----------
    Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment: from error visibility to
    structural similarity".
    """
    height, width = images.shape[1:3]
    down, right = _windows(height), _windows(width)

    def mean(values: np.ndarray) -> np.ndarray:
        return down @ values @ right.T

    found = np.empty(len(images))
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        # Channels before height and width, which the products contract.
        x, y = (np.moveaxis(a[rows].astype(np.float64), 3, 1) for a in (images, reconstructions))
        m_x, m_y = mean(x), mean(y)
        s_x, s_y, s_xy = mean(x * x) - m_x**2, mean(y * y) - m_y**2, mean(x * y) - m_x * m_y
        alike = (2 * m_x * m_y + _SSIM_C1) * (2 * s_xy + _SSIM_C2)
        alike /= (m_x**2 + m_y**2 + _SSIM_C1) * (s_x + s_y + _SSIM_C2)
        found[rows] = alike.mean(axis=(1, 2, 3))
    return found


def _windows(side: int) -> Float64[np.ndarray, "places side"]:
    """The window along one axis: a row of weights for each place of it."""
    offsets = np.arange(_SSIM_SIDE) - _SSIM_SIDE // 2
    weights = np.exp(-(offsets**2) / (2 * _SSIM_SIGMA**2))
    weights /= weights.sum()
    rows = np.zeros((side - _SSIM_SIDE + 1, side))
    for place, row in enumerate(rows):
        row[place : place + _SSIM_SIDE] = weights
    return rows
