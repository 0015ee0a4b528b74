"""Augmentations against SciPy and hand-computed values; training with them, validation without."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from tests.core.builders import KEY, digits, rates, run, run_config, start

from autodecoder.config import AUGMENTATIONS, AugmentConfig, fit_config
from autodecoder.core.augment import _interpolation, augment_images
from autodecoder.core.decoders import decode
from autodecoder.core.epoch import _targets
from autodecoder.core.fit import advance_run
from autodecoder.core.losses import measure
from autodecoder.core.runs import Images
from autodecoder.core.scaling import scale_pixels

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 20, 30
#: Far enough from black and white that no value is clipped.
GREYS = RNG.uniform(80, 170, (64, HEIGHT, WIDTH, 3)).astype(np.float32)

change = jax.jit(augment_images, static_argnums=2)
interpolation = jax.jit(_interpolation, static_argnums=0)
DEFAULTS: Mapping[str, float] = MappingProxyType({})


def augment(
    images: np.ndarray,
    *enabled: str,
    key: jax.Array = KEY,
    strengths: Mapping[str, float] = DEFAULTS,
) -> np.ndarray:
    config = AugmentConfig(enabled=enabled, **strengths)
    changed = np.asarray(change(key, images, config))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    return changed


def sources(size: int, zoom: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """For each image and pixel of a side the place, in pixels, that its value comes from."""
    middle = (size - 1) / 2
    return (np.arange(size) - middle - shift[:, None]) * zoom[:, None] + middle


def interpolate(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The reference: linear, with the reflection `d c b a | a b c d | d c b a`."""
    changed = [
        map_coordinates(image[..., c], np.meshgrid(y, x, indexing="ij"), order=1, mode="reflect")
        for image, y, x in zip(images.astype(np.float64), rows, columns, strict=True)
        for c in range(images.shape[-1])
    ]
    shape = (len(images), images.shape[-1], *images.shape[1:3])
    return np.reshape(changed, shape).transpose(0, 2, 3, 1)


@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, 5, 8, 28])
def test_no_zoom_and_no_shift_is_the_identity(size: int) -> None:
    matrices = interpolation(size, np.ones(3, np.float32), np.zeros(3, np.float32))
    np.testing.assert_array_equal(matrices, np.broadcast_to(np.eye(size), (3, size, size)))


@pytest.mark.parametrize("shift", [-8, -3, -1, 0, 1, 2, 8])
def test_a_whole_shift_moves_pixels_and_reflects_at_the_ends(shift: int) -> None:
    pixels = RNG.integers(0, 256, 8).astype(np.float32)
    shifts = np.array([shift], np.float32)
    (matrix,) = np.asarray(interpolation(8, np.ones(1, np.float32), shifts))
    reflected = np.pad(pixels, 8, mode="symmetric")
    np.testing.assert_array_equal(matrix @ pixels, reflected[8 - shift :][:8])


@pytest.mark.parametrize("size", [5, 8, 28])
@pytest.mark.parametrize("strength", [0.2, 0.95])
def test_interpolation_is_that_of_scipy(size: int, strength: float) -> None:
    zoom, shift = RNG.uniform(-strength, strength, (2, 40)).astype(np.float32)
    zoom, shift = 1 + zoom, size * shift
    matrices = np.asarray(interpolation(size, zoom, shift))
    pixels = RNG.uniform(0, 255, size)
    expected = [
        map_coordinates(pixels, place[None], order=1, mode="reflect")
        for place in sources(size, zoom, shift)
    ]
    np.testing.assert_allclose(matrices @ pixels, expected, atol=0.01)
    np.testing.assert_allclose(matrices.sum(2), 1, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("enabled", [("zoom",), ("translation",), ("zoom", "translation")])
def test_images_are_zoomed_and_shifted_within_their_strength(enabled: tuple[str, ...]) -> None:
    """Slopes tell how each image was changed; then any other image must be changed so."""
    strengths = {"zoom": 0.2, "translation": 0.1}
    found = []
    for size, axis in ((HEIGHT, 1), (WIDTH, 2)):
        slope = np.arange(size, dtype=np.float32).reshape(
            [-1 if a == axis else 1 for a in range(4)]
        )
        changed = augment(np.broadcast_to(slope, GREYS.shape).copy(), *enabled, strengths=strengths)
        places = changed.mean(axis=(3 - axis, 3))
        middle = size // 2
        zoom = (places[:, middle + 1] - places[:, middle - 2]) / 3  # no reflection reaches there
        centre = places[:, middle - 1 : middle + 1].mean(1)
        shift = ((size - 1) / 2 - centre) / zoom
        for name, change in (("zoom", zoom - 1), ("translation", shift / size)):
            if name in enabled:
                assert np.abs(change).max() <= strengths[name] + 1e-4
                assert change.min() < -0.7 * strengths[name]
                assert change.max() > 0.7 * strengths[name]
            else:
                np.testing.assert_allclose(change, 0, atol=1e-4)
        found.append((zoom, shift, sources(size, zoom, shift)))
    (row_zoom, row_shift, rows), (column_zoom, column_shift, columns) = found
    expected = interpolate(GREYS, rows, columns)
    np.testing.assert_allclose(augment(GREYS, *enabled, strengths=strengths), expected, atol=0.1)
    np.testing.assert_allclose(row_zoom, column_zoom, atol=1e-4)  # an image keeps its proportions
    if "translation" in enabled:
        assert np.abs(row_shift / HEIGHT - column_shift / WIDTH).max() > 0.1


def test_brightness_shifts_all_pixels_of_an_image_alike() -> None:
    shifts = augment(GREYS, "brightness") - GREYS
    own = shifts[:, :1, :1, :1]
    np.testing.assert_allclose(shifts, np.broadcast_to(own, shifts.shape), atol=1e-3)
    assert np.abs(own).max() <= 0.2 * 255
    assert own.min() < -0.15 * 255
    assert own.max() > 0.15 * 255
    assert len(np.unique(own.round(2))) > 60


def test_contrast_scales_the_distance_from_each_channels_mean() -> None:
    tinted = GREYS * np.array([0.8, 1.0, 1.1], np.float32)
    changed = augment(tinted, "contrast")
    means = tinted.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(changed.mean(axis=(1, 2), keepdims=True), means, atol=0.01)
    factors = (changed - means).std(axis=(1, 2)) / tinted.std(axis=(1, 2))
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1], factors.shape), rtol=1e-4)
    own = factors[:, 0]
    np.testing.assert_allclose(
        changed - means, (tinted - means) * own[:, None, None, None], atol=0.01
    )
    assert np.abs(own - 1).max() <= 0.1 + 1e-4
    assert own.min() < 0.92
    assert own.max() > 1.08


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_draws_differ_between_images_and_keys_and_repeat(name: str) -> None:
    same = np.broadcast_to(GREYS[:1], GREYS.shape).copy()
    changed = augment(same, name)
    assert len({image.tobytes() for image in changed}) == len(same)
    np.testing.assert_array_equal(changed, augment(same, name))
    assert (changed != augment(same, name, key=jax.random.key(1))).any(axis=(1, 2, 3)).all()


def test_stronger_is_stronger() -> None:
    for name in AUGMENTATIONS:
        weak, strong = (augment(GREYS, name, strengths={name: s}) - GREYS for s in (0.01, 0.1))
        assert np.abs(strong).mean() > 3 * np.abs(weak).mean()


def test_values_stay_in_the_range_of_pixels() -> None:
    images = np.where(RNG.random(GREYS.shape) < 0.5, 0, 255).astype(np.float32)
    changed = augment(images, *AUGMENTATIONS, strengths={"brightness": 0.9, "contrast": 0.9})
    assert changed.min() == 0
    assert changed.max() == 255


def test_channels_are_moved_alike() -> None:
    changed = augment(GREYS, "zoom", "translation")
    turned = augment(GREYS[..., ::-1].copy(), "zoom", "translation")
    np.testing.assert_allclose(turned, changed[..., ::-1], atol=1e-3)


def program(augmentations: AugmentConfig) -> str:
    config = run_config(augment=augmentations)
    move = jax.jit(advance_run, static_argnames="config")
    return move.lower(start(config), rates(1e-2), digits(), 1, config).as_text()


@pytest.mark.thorough
def test_what_is_not_enabled_leaves_no_trace_in_the_program() -> None:
    none = program(AugmentConfig())
    assert program(AugmentConfig(brightness=0.7, zoom=0.9)) == none


@pytest.fixture(scope="module")
def colours() -> Images:
    """Digits in colour, 8 by 4 pixels: sides that differ show whether rows stay rows."""

    def paint(images) -> jax.Array:
        narrow = np.asarray(images).reshape(-1, 8, 4, 2)[..., :1]
        return jnp.asarray((narrow * [1.0, 0.6, 0.3]).astype(np.uint8).reshape(len(images), -1))

    return Images(*map(paint, digits()[:2]))


COLOURED = run_config(
    image_shape=(8, 4, 3),
    fit=fit_config(
        "original", num_epochs=8, batch_size=100, latent_start="normal", drop_last=False
    ),
    augment=AugmentConfig(enabled=AUGMENTATIONS),
)


@pytest.mark.slow
def test_the_loss_falls_under_augmentation(colours: Images) -> None:
    history = run(8, COLOURED, images=colours).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["val_loss"][-1] < 0.8 * history["val_loss"][0]


@pytest.mark.thorough
def test_training_images_are_augmented_and_validation_images_are_not(colours: Images) -> None:
    """Nothing moves: the metrics of validation are those of the images as they are."""
    state, history = start(COLOURED, colours).state, run(3, COLOURED, rates(0.0), colours).history
    losses = {}
    for part, pixels, latents in (
        ("loss", colours.train, state.train.values),
        ("val_loss", colours.val, state.val.values),
    ):
        targets = scale_pixels(pixels, "standard")
        losses[part] = float(
            measure(decode(state.decoder, latents), targets, "standard").loss.mean()
        )
    np.testing.assert_allclose(history["val_loss"][:3], losses["val_loss"], rtol=1e-5)
    assert (np.abs(history["loss"][:3] / losses["loss"] - 1) > 1e-3).all()
    assert len(set(history["loss"][:3].tolist())) == 3  # drawn anew at every visit


def test_pixels_of_a_row_stay_in_their_row_on_the_way_through_a_batch() -> None:
    """Rows of one value each: shifts and zooms can only mix whole rows."""
    values = RNG.integers(0, 256, (40, 8, 1, 3))
    striped = np.broadcast_to(values, (40, 8, 4, 3)).astype(np.uint8).reshape(40, -1)
    config = replace(COLOURED, augment=AugmentConfig(enabled=("zoom", "translation")))
    changed = np.asarray(jax.jit(_targets, static_argnums=2)(striped, KEY, config)).reshape(
        40, 8, 4, 3
    )
    np.testing.assert_allclose(
        changed, np.broadcast_to(changed[:, :, :1], changed.shape), atol=1e-4
    )
    assert np.abs(changed[:, :, 0] - (values[:, :, 0] / 127.5 - 1)).max() > 0.1
