"""Pixels outside their range: the message suggests a range that fits all images."""

import numpy as np
import pytest

from autodecoder import fit_model
from autodecoder.data.pixels import to_pixels
from autodecoder.errors import DataError


@pytest.mark.parametrize(
    ("values", "suggested"),
    [
        ([0.0, 15, 3, 16], "(0, 16)"),
        ([0.0, 15, np.nan, 16], "(0, 16)"),
        ([0.0, 100, 200, 255], "(0, 255)"),
        ([3.0, 100], "(0, 100)"),
        ([0.0, 1.3], "(0, 1.3)"),
        ([0.0, 3000], "(0, 4095)"),
        ([0.0, 1e6], "(0, 1e+06)"),
        ([-1.0, 1], "(-1, 1)"),
        ([-128.0, 90], "(-128, 127)"),
        ([-0.2, 1.3], "(-0.2, 1.3)"),
    ],
)
def test_a_range_is_suggested_that_holds_all_images(values: list[float], suggested: str) -> None:
    images = np.array(values, np.float32)[:, None, None]
    weights = np.isfinite(images).reshape(len(images), 1)
    with pytest.raises(DataError) as error:
        to_pixels(images, weights=weights)
    assert f"in Python pixel_range={suggested}, takes " in str(error.value)


def test_the_first_images_do_not_decide() -> None:
    images = np.zeros((50, 4, 4))
    images[0] = 15
    images[40] = 16
    with pytest.raises(DataError, match=r"image 0 lie .* pixel_range=\(0, 16\), takes 0 for black"):
        fit_model(images)
