"""Inference by a model: what users hand over is checked, and what comes back is in their terms."""

import copy
import pickle
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.compilation import compiled_quickly
from tests.model.test_files import make

from autodecoder.config import DecoderConfig, InferConfig, fit_config
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.model import Model, fit_model
from autodecoder.report.reconstructions import write_reconstructions

SHAPE = (2, 3, 1)


@pytest.fixture(scope="module")
def model() -> Model:
    return make(arch=(8,))


@pytest.fixture(scope="module")
def images(model: Model) -> np.ndarray:
    """What the decoder makes of latents that are not the training ones, as uint8."""
    latents = 0.5 * np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    return np.rint(255 * model.decode(latents)).astype(np.uint8)


def test_decoded_pixels_lie_between_0_and_1(model: Model) -> None:
    decoded = model.decode(np.zeros((4, 3)))
    assert decoded.shape == (4, *SHAPE)
    assert decoded.dtype == np.float32
    assert 0 <= decoded.min() <= decoded.max() <= 1


def test_many_latents_are_decoded_as_few_are(model: Model, monkeypatch) -> None:
    latents = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    whole = model.decode(latents)
    monkeypatch.setattr("autodecoder.model.decoding._DECODED_AT_ONCE", 3)
    np.testing.assert_allclose(model.decode(latents), whole, atol=1e-6)


def test_a_latent_decodes_to_the_same_bits_alone_and_beside_others() -> None:
    model = make(arch=(500, 500))
    latents = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    with compiled_quickly(False):
        whole = model.decode(latents)
        for k in (0, 7, 255, 299):
            np.testing.assert_array_equal(model.decode(latents[k : k + 1])[0], whole[k])


def test_what_the_decoder_draws_is_reconstructed(model: Model, images: np.ndarray) -> None:
    result = model.reconstruct(images)
    assert result.shape == images.shape
    np.testing.assert_allclose(result, images / 255, atol=0.02)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.reshape(7, 2, 3),
        lambda x: x.reshape(7, 6),
        lambda x: (x / 255).astype(np.float64),
        lambda x: (x / 255).astype(np.float32),
        np.asfortranarray,
    ],
)
def test_images_in_any_accepted_form_give_the_same(
    model: Model, images: np.ndarray, convert: Any
) -> None:
    expected = model.infer(images)
    found = model.infer(convert(images))
    np.testing.assert_allclose(found.errors.loss, expected.errors.loss, atol=1e-5)


def test_pieces_make_no_difference(model: Model, images: np.ndarray, monkeypatch) -> None:
    mask = np.random.default_rng(2).random((7, 2, 3)) < 0.7
    whole = model.infer(images, mask)
    monkeypatch.setattr("autodecoder.model.inference._INFERRED_AT_ONCE", 3)
    parts = model.infer(images, mask)
    np.testing.assert_allclose(parts.errors.loss, whole.errors.loss, atol=1e-5)
    np.testing.assert_array_equal(parts.start, whole.start)


def test_one_mask_serves_all_images(model: Model, images: np.ndarray) -> None:
    mask = np.array([[True, True, False], [True, False, True]])
    one = model.infer(images, mask)
    each = model.infer(images, np.broadcast_to(mask, (7, 2, 3)))
    channels = model.infer(images, mask[..., None])
    np.testing.assert_array_equal(one.latents, each.latents)
    np.testing.assert_array_equal(one.latents, channels.latents)


def with_pixel(value: float):
    def change(images: np.ndarray) -> np.ndarray:
        images = images / 255
        images[4, 1, 2] = value
        return images

    return change


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: x[:, :1], r"images must be \(n, 2, 3, 1\), got \(7, 1, 3, 1\)"),
        (lambda x: x[0], r"images must be \(n, 2, 3, 1\), got \(2, 3, 1\)"),
        (lambda x: x.astype(int) - 256, "whole-number pixels must lie between 0 and 255, but"),
        (lambda x: x.astype(str), "images must be real numbers, got ndarray of <U"),
        (with_pixel(np.inf), "finite pixels, but image 4 has not"),
        (with_pixel(-0.2), "between 0 and 1, but those of image 4 lie between -0.2"),
        (lambda x: x.astype(float), "between 0 and 1, but those of image"),
    ],
)
def test_other_images_are_refused(
    model: Model, images: np.ndarray, convert: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        model.infer(convert(images))


@pytest.mark.thorough
def test_weights_of_any_size_and_dtype_weigh_alike(model: Model) -> None:
    rng = np.random.default_rng(3)
    # Nothing that the decoder draws, so that the losses are far above rounding.
    images = rng.integers(0, 256, (7, 2, 3), np.uint8)
    weights = rng.integers(0, 5, (7, 2, 3))
    expected = model.infer(images, weights.astype(np.float32))
    assert expected.errors.loss.min() > 1e-3
    for scaled in (weights, 1e38 * weights.astype(np.float64), 1e-38 * weights.astype(np.float64)):
        found = model.infer(images, scaled)
        np.testing.assert_allclose(found.errors.loss, expected.errors.loss, rtol=1e-3)
    of_bits = model.infer(images, (weights > 0).astype(np.int64))
    alike = model.infer(images, weights > 0)
    np.testing.assert_allclose(of_bits.errors.loss, alike.errors.loss, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "changed", [{"prior_weight": 1000.0}, {"tolerance": 1.0}, {"method": "adam"}]
)
def test_a_plan_that_serves_again_knows_its_new_settings(
    model: Model, images: np.ndarray, changed: dict[str, Any]
) -> None:
    model = replace(model, history={"loss": np.array([0.1])})
    used, other = replace(model), InferConfig(**changed)
    before = used.infer(images)
    found, fresh = used.infer(images, config=other), replace(model).infer(images, config=other)
    np.testing.assert_array_equal(found.latents, fresh.latents)
    np.testing.assert_array_equal(found.steps, fresh.steps)
    assert (found.latents != before.latents).any()


def test_a_plan_serves_again_and_does_not_travel(model: Model, images: np.ndarray) -> None:
    model = replace(model)
    found = model.infer(images)
    (plan,) = model._plans.values()
    coarse = model.infer(images, config=InferConfig(n_steps=1))
    assert next(iter(model._plans.values())) is plan, "the same candidates"
    assert (coarse.steps == 1).any()
    assert found.steps.max() > 1
    model.infer(images, config=InferConfig(n_starts=3))
    assert next(iter(model._plans.values())) is not plan
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin._plans == {}
        np.testing.assert_array_equal(twin.infer(images).latents, found.latents)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(model: Model, images: np.ndarray, seed: int) -> None:
    with pytest.raises(ConfigError, match="seed must"):
        model.infer(images, seed=seed)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 2), bool), r"mask must be .*got \(3, 2\)"),
        (np.ones((6, 2, 3), bool), r"mask must be for 7 images or for one, got \(6, 2, 3\)"),
        (np.full((7, 2, 3), -1.0), "weights of 0 or more, but that of image 0"),
        (np.full((2, 3), np.nan), "weights of 0 or more"),
        (np.full((2, 3), "x"), "mask must be real numbers"),
    ],
)
def test_other_masks_are_refused(
    model: Model, images: np.ndarray, mask: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        model.infer(images, mask)


def test_a_prior_moves_images_with_missing_pixels_alone(model: Model, images: np.ndarray) -> None:
    known = replace(model, history={"loss": np.array([0.1])})
    mask = np.ones((7, 2, 3), bool)
    mask[:3, 1] = False
    free = known.infer(images, mask, config=InferConfig(prior_weight=0.0))
    found = known.infer(images, mask)
    np.testing.assert_allclose(found.latents[3:], free.latents[3:], atol=1e-5)
    assert (np.abs(found.latents[:3] - free.latents[:3]).max(axis=1) > 1e-3).all()
    assert known.log_density(found.latents[:3]).sum() > known.log_density(free.latents[:3]).sum()
    np.testing.assert_array_equal(known.infer(images).latents, model.infer(images).latents)
    with pytest.raises(DataError, match="prior_weight needs a model with its training loss"):
        model.infer(images, config=InferConfig(prior_weight=1.0))
    bare = replace(known, latents=known.latents[:0], labels=None)
    with pytest.raises(DataError, match="prior_weight needs the latents of training images"):
        bare.infer(images, config=InferConfig(starts=("zeros",), prior_weight=1.0))


@pytest.fixture(scope="module")
def with_prior(model: Model) -> Model:
    """A model of a fit that learnt a prior of much weight."""
    settings = {"fit": {"prior": "gaussian", "n_components": 1, "prior_weight": 60.0}}
    about = {**model.about, "settings": settings}
    return replace(model, history={"loss": np.array([1e-2])}, about=about)


def test_a_learnt_prior_weighs_the_same_beside_images_with_missing_pixels(
    with_prior: Model, images: np.ndarray
) -> None:
    light = {"fit": {**with_prior.about["settings"]["fit"], "prior_weight": 1.0}}
    model = replace(with_prior, about={"settings": light})
    some = np.ma.masked_array(images.reshape(7, -1), np.zeros((7, 6), bool))
    some[:3, 3:] = np.ma.masked
    found = model.infer(some)
    np.testing.assert_array_equal(found.latents[3:], model.infer(some[3:]).latents)
    heavy = replace(with_prior, about={}).infer(some[:3], config=InferConfig(prior_weight=20.0))
    np.testing.assert_allclose(found.latents[:3], heavy.latents, atol=1e-5)


def test_draws_lie_around_what_is_inferred_under_a_learnt_prior(
    with_prior: Model, images: np.ndarray
) -> None:
    mask = np.ones((2, 3), bool)
    mask[1] = False
    for hidden in (None, mask):
        cold = with_prior.draw(images, hidden, 1, temperature=0).latents[:, 0]
        np.testing.assert_allclose(cold, with_prior.infer(images, hidden).latents, atol=1e-4)


def test_temperature_scales_the_draws(model: Model, images: np.ndarray) -> None:
    known = replace(model, history={"loss": np.array([1e-3])})
    mask = np.ones((2, 3), bool)
    mask[1] = False
    best = known.infer(images[:4], mask)
    cold, warm, hot = (
        known.draw(images[:4], mask, 5, temperature=t, seed=0).latents for t in (0, 1, 2.0)
    )
    assert (cold == cold[:, :1]).all()
    assert cold[:, 0] == pytest.approx(best.latents, abs=1e-4)
    assert hot - cold == pytest.approx(2 * (warm - cold), rel=1e-3, abs=1e-4)
    with pytest.raises(ConfigError, match="temperature must"):
        known.draw(images[:4], mask, temperature=-1.0)


def test_draws_spread_where_pixels_are_missing(model: Model, images: np.ndarray) -> None:
    known = replace(model, history={"loss": np.array([1e-3])})
    mask = np.ones((2, 3), bool)
    mask[1] = False
    drawn = known.draw(images, mask, 40)
    assert drawn.latents.shape == (7, 40, 3)
    assert drawn.images.shape == (7, 40, *SHAPE)
    spread = drawn.images.std(axis=1)
    assert spread[:, 1].mean() > spread[:, 0].mean()
    best = known.reconstruct(images, mask)
    centre = np.linalg.norm(drawn.latents.mean(1) - known.infer(images, mask).latents, axis=1)
    assert (centre < drawn.latents.std(1).max(axis=1)).all()
    assert np.abs(drawn.images.mean(1) - best).mean() < 0.2
    again = known.draw(images, mask, 40).images
    np.testing.assert_array_equal(drawn.images, again)
    blind = known.draw(images[:2], np.zeros((2, 3), bool), 2)
    assert np.isnan(blind.images).all()
    with pytest.raises(ConfigError, match="draws need a prior"):
        known.draw(images, config=InferConfig(prior_weight=0.0))
    with pytest.raises(DataError, match="draws need a model with its training loss"):
        model.draw(images)


def test_wrong_settings_are_refused(model: Model, images: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"n_candidates must not exceed .* 6, got 7"):
        model.infer(images, config=InferConfig(n_candidates=7))
    with pytest.raises(ConfigError, match=r"n_starts must not exceed .* 6, got 7"):
        model.infer(images, config=InferConfig(n_starts=7))
    with pytest.raises(ConfigError, match="at least one start"):
        model.infer(images, config=InferConfig(starts=()))
    with pytest.raises(DataError, match=r"given must be \(7, m, 3\)"):
        model.infer(images, given=np.zeros((7, 3)))
    with pytest.raises(DataError, match="given holds values that are not finite"):
        model.infer(images, given=np.full((7, 1, 3), np.nan))
    with pytest.raises(DataError, match=r"latents must be \(n, 3\)"):
        model.decode(np.zeros((7, 2)))
    decoded = model.decode([[0, 0, 0], [0, np.inf, 0]])
    assert np.isfinite(decoded[0]).all()
    assert np.isnan(decoded[1]).all()


def test_no_images(model: Model, images: np.ndarray) -> None:
    assert len(model.infer(images[:0]).latents) == 0
    assert model.reconstruct(images[:0]).shape == (0, *SHAPE)


def test_results_are_written_piece_by_piece(
    model: Model, images: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("autodecoder.report.placed._PIECE", 3)
    mask = np.ones((7, 2, 3), bool)
    mask[5] = False
    done: list[int] = []
    errors = write_reconstructions(
        model, images, mask, tmp_path / "out", config=InferConfig(), report=done.append
    )
    assert done == [3, 6, 7]
    names = {"reconstructions.npy", "latents.npy", "errors.csv", "reconstructions.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    decoded = np.load(tmp_path / "out" / "reconstructions.npy")
    latents = np.load(tmp_path / "out" / "latents.npy")
    seen = np.arange(7) != 5
    np.testing.assert_allclose(decoded[seen], model.decode(latents)[seen], atol=1e-6)
    assert np.isnan(decoded[5]).all()
    np.testing.assert_allclose(decoded[seen], images[seen] / 255, atol=0.02)
    header, *lines = (tmp_path / "out" / "errors.csv").read_text().splitlines()
    assert header == "image,loss,mae,psnr,steps,converged,start"
    assert [line.split(",")[0] for line in lines] == list("0123456")
    assert lines[5].split(",")[1:4] == ["", "", ""]
    assert np.isnan(errors.loss[5])
    assert np.float32(lines[0].split(",")[1]) == errors.loss[0]
    with pytest.raises(OutputError, match="is not empty"):
        write_reconstructions(model, images, None, tmp_path / "out", config=InferConfig())


def test_of_what_is_refused_nothing_is_written(
    model: Model, images: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("autodecoder.report.placed._PIECE", 3)
    out, config = tmp_path / "out", InferConfig()
    with pytest.raises(DataError, match="image 4"):
        write_reconstructions(model, with_pixel(np.inf)(images), None, out, config=config)
    mask = np.ones((7, 2, 3))
    mask[6, 0, 0] = -1
    with pytest.raises(DataError, match="image 6"):
        write_reconstructions(model, images, mask, out, config=config)
    with pytest.raises(ConfigError, match="n_candidates"):
        write_reconstructions(model, images, None, out, config=InferConfig(n_candidates=7))
    with pytest.raises(ConfigError, match="seed"):
        write_reconstructions(model, images, None, out, config=config, seed=-1)
    assert not out.exists()


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("before", ["nothing", "a killed run"])
def test_an_interrupted_run_leaves_nothing_and_may_be_repeated(
    model: Model, images: np.ndarray, tmp_path: Path, monkeypatch, before: str
) -> None:
    monkeypatch.setattr("autodecoder.report.placed._PIECE", 2)
    out = tmp_path / "out"
    if before != "nothing":
        out.mkdir()
        (out / ".latents.npy.0123abcd.tmp").touch()

    def report(done: int) -> None:
        if done > 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        write_reconstructions(model, images, None, out, config=InferConfig(), report=report)
    assert not list(out.iterdir())
    write_reconstructions(model, images, None, out, config=InferConfig())
    np.testing.assert_allclose(np.load(out / "reconstructions.npy"), images / 255, atol=0.02)
    np.testing.assert_array_equal(np.load(out / "latents.npy"), model.infer(images).latents)
    lines = (out / "errors.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["image", *map(str, range(7))]


def test_a_full_disk_is_told(model: Model, images: np.ndarray, tmp_path: Path) -> None:
    many = np.repeat(images, 30_000, axis=0)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_reconstructions(model, many, None, tmp_path / "out", config=InferConfig())
    finally:
        signal.signal(signal.SIGXFSZ, handler)
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.thorough
def test_hidden_pixels_may_be_anything(model: Model, images: np.ndarray) -> None:
    seen = np.random.default_rng(0).random(images.shape) < 0.7
    expected = model.infer(images, seen).latents
    floats = np.where(seen, images / np.float32(255), np.nan)
    np.testing.assert_allclose(model.infer(floats, seen).latents, expected, atol=1e-4)
    np.testing.assert_array_equal(model.infer(floats).latents, model.infer(floats, seen).latents)
    masked = np.ma.array(images, mask=~seen)
    np.testing.assert_array_equal(model.infer(masked).latents, expected)


def test_whole_images_have_the_same_bits_beside_others(model: Model, images: np.ndarray) -> None:
    floats = images / np.float32(255)
    alone = model.infer(floats)
    floats[[1, 4], 0, 2] = np.nan
    beside = model.infer(floats)
    whole = ~np.isnan(floats).any(axis=(1, 2, 3))
    assert whole.sum() == len(images) - 2
    for found, expected in zip(beside[:1] + beside[2:], alone[:1] + alone[2:], strict=True):
        np.testing.assert_array_equal(found[whole], expected[whole])
    holed = model.infer(floats[~whole])
    np.testing.assert_array_equal(beside.latents[~whole], holed.latents)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": [np.zeros((2, 3)), np.zeros((2, 4))]}, "images must be one array"),
        ({"mask": [[True, False], [True]]}, "mask must be one array"),
        ({"given": "a"}, "given must be real numbers"),
        ({"given": [[[1, 2], [1]]]}, "given must be one array"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(
    model: Model, images: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        model.infer(**{"images": images, **arguments})


@pytest.mark.thorough
def test_as_many_starts_as_candidates_under_a_mask(model: Model) -> None:
    rng = np.random.default_rng(0)
    many = replace(model, latents=rng.normal(size=(5000, 3)).astype(np.float32))
    images = np.rint(255 * many.decode(many.val_latents)).astype(np.uint8)[:1]
    config = InferConfig(n_starts=4500)
    found = many.infer(images, np.ones(SHAPE, bool), config=config)
    assert np.isfinite(found.errors.loss).all()


@pytest.mark.parametrize("config", [InferConfig(), InferConfig(n_starts=3), InferConfig("adam")])
def test_a_trace_ends_where_inference_does(
    model: Model, images: np.ndarray, config: InferConfig
) -> None:
    latents, found = model.trace(images[0], config=config)
    want = model.infer(images[:1], config=config)
    np.testing.assert_array_equal(found.latents, want.latents)
    np.testing.assert_array_equal(latents[-1], want.latents[0])
    if config.method == "adam":
        assert len(latents) == 1
        return
    hidden = 0 if config.n_starts == 1 else 3  # the steps of the race
    assert len(latents) > want.steps[0] - hidden > 0
    errors = ((model.decode(latents) - images[0] / 255) ** 2).mean((1, 2, 3))
    assert (np.diff(errors) <= 1e-7).all(), "no step makes it worse"


def test_a_trace_starts_where_it_is_told(model: Model, images: np.ndarray) -> None:
    start = np.full((1, model.latent_dims), 0.5, np.float32)
    mask = np.zeros(images.shape[1:], bool)
    mask[:1] = True
    config = InferConfig(starts=())
    latents, found = model.trace(images[1], mask, config=config, given=start)
    np.testing.assert_array_equal(latents[0], start[0])
    want = model.infer(images[1:2], mask, config=config, given=start[None])
    np.testing.assert_array_equal(found.latents, want.latents)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_the_same_images_as_other_kinds_of_array(
    model: Model, images: np.ndarray, tmp_path: Path
) -> None:
    expected = model.infer(images).latents
    np.save(tmp_path / "images.npy", images)
    flat = images.reshape(len(images), -1)
    for same in (
        np.asfortranarray(images),
        np.repeat(images, 2, 0)[::2],
        images[::-1][::-1],
        images[..., 0],
        flat,
        np.asmatrix(flat),
        np.load(tmp_path / "images.npy", mmap_mode="r"),
        images.tolist(),
        images.astype(np.int64),
        images.astype(">i2"),
        pd.DataFrame(flat).astype("UInt8"),
    ):
        np.testing.assert_array_equal(model.infer(same).latents, expected)
    floats = images / 255
    for near in (floats, floats.astype(">f4"), floats.astype(np.longdouble), floats.tolist()):
        np.testing.assert_allclose(model.infer(near).latents, expected, atol=1e-3)


@pytest.mark.thorough
def test_channels_first_are_told_by_inference() -> None:
    rng = np.random.default_rng(0)
    fit, decoder = fit_config("fast", num_epochs=2), DecoderConfig(arch=(4,))
    coloured = fit_model(rng.random((9, 6, 5, 3)), fit=fit, decoder=decoder)
    with pytest.raises(DataError, match=r"channels last, .* got 2 × 3 × 6 × 5; images\.transpose"):
        coloured.infer(rng.random((2, 3, 6, 5)))
