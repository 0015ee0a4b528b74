"""Pictures of images of any shape are of a sane size."""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.report.test_page import make_model

from autodecoder.data import Dataset, ImageSet
from autodecoder.report.images import write_samples
from autodecoder.report.model_pictures import draw_decoded, draw_fit
from autodecoder.report.pictures import draw_figure
from autodecoder.report.sheets import plot_reconstructions
from autodecoder.report.tensorboard import _pair
from autodecoder.report.thumbnails import shrink

SHAPES = [(1, 30_000, 1), (30_000, 1, 1), (200, 300, 3), (8, 8, 33), (1, 1, 1)]
NOISE = np.random.default_rng(0)


def noise(n: int, shape: tuple[int, ...]) -> np.ndarray:
    return NOISE.integers(256, size=(n, *shape), dtype=np.uint8)


def assert_is_sane(figure: Figure) -> None:
    with Image.open(io.BytesIO(draw_figure(figure))) as image:
        assert max(image.size) < 3000
        assert min(image.size) > 50
        assert np.asarray(image.convert("L")).std() > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_still_pictures(shape: tuple[int, int, int]) -> None:
    model = make_model(shape=shape, n=24)
    images = ImageSet(noise(24, shape), np.arange(24) % 3)
    dataset = Dataset("noise", images, images.take(np.arange(4)), ("a", "b", "c"))
    for figure in (draw_fit(model, dataset, protocol="") | draw_decoded(model)).values():
        assert_is_sane(figure)
    some = noise(11, shape)
    assert_is_sane(plot_reconstructions(some, some, title="some", mask=some > 99))


@pytest.mark.parametrize("shape", SHAPES)
def test_those_of_tensorboard(shape: tuple[int, int, int]) -> None:
    images = noise(10, shape)
    grid = _pair(images, images)
    assert grid.size < 2_000_000


@pytest.mark.parametrize(("shape", "longest"), [(SHAPES[0], 30_002), (SHAPES[1], 30_002)])
def test_a_picture_of_thin_images_is_not_longer_than_one(
    tmp_path: Path, shape: tuple[int, int, int], longest: int
) -> None:
    path = tmp_path / "out.png"
    write_samples(make_model(shape=shape), np.zeros((9, 2)), path)
    with Image.open(path) as image:
        assert max(image.size) <= longest


def test_a_large_image_becomes_the_mean_of_what_it_stands_for() -> None:
    images = np.zeros((2, 8, 4, 1), np.uint8)
    images[1, :4], images[1, 4:, 0] = 200, 100
    np.testing.assert_array_equal(shrink(images, 2)[..., 0], [[[0], [0]], [[200], [25]]])
    assert shrink(images, 8) is not None
    np.testing.assert_array_equal(shrink(images, 8), images)
    assert shrink(noise(2, (3, 3, 5)), 9).shape == (2, 3, 3, 1)
