"""Comparing methods under equal conditions."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.decomposition import PCA
from tests.compare.builders import DECODER, quick, some_digits

import autodecoder.compare.work as module
from autodecoder import DataError, DecoderConfig, FitConfig, load_model
from autodecoder.compare import Comparison, Row, Score, compare_methods
from autodecoder.compare.comparison import _MOST_BEYOND
from autodecoder.compare.measure import measure_structure
from autodecoder.compare.result import explain, tabulate, to_content
from autodecoder.errors import ConfigError
from autodecoder.model.inference import learnt_prior

DIGITS = some_digits()
#: Two steps an epoch, of which five sixths of the images make one.
HALVES = quick(batch_size=len(DIGITS.train) // 2)
WITH_A_PRIOR = {"prior": "gaussian", "codes": "gaussian", "latent_second_moment": "coordinate"}
ALL = ("pca", "ae", "ae-refined", "vae", "vae-refined", "gon", "gon-refined", "auto-decoder")


def compare(**values) -> Comparison:
    given = {"decoder": DECODER, "fit": quick(), "rates": (1e-2,), "seeds": (0, 1), **values}
    return compare_methods(given.pop("dataset", DIGITS), **given)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare(
        methods=ALL,
        fit=quick(num_epochs=20, **WITH_A_PRIOR),
        others={"without a prior": quick(num_epochs=20)},
        measures=measure_structure,
    )


def test_every_method_has_a_row(compared: Comparison) -> None:
    assert [row.name for row in compared.rows] == [*ALL, "without a prior"]
    for row in compared.rows:
        assert [score.seed for score in row.scores] == [0, 1]
        assert np.isfinite([score.error for score in row.scores]).all()
        assert len(row.scores[0].errors) == len(DIGITS.val)
        assert 0 < row.mean("5-NN accuracy") <= 1
        assert 0.5 < row.mean("trustworthiness") <= 1


def test_components_are_those_of_scikit_learn(compared: Comparison) -> None:
    scaled = [images.flat / 127.5 - 1 for images in (DIGITS.train, DIGITS.val)]
    pca = PCA(2).fit(scaled[0])
    rest = pca.inverse_transform(pca.transform(scaled[1])) - scaled[1]
    assert compared["pca"].mean("error") == pytest.approx((rest**2).mean(), rel=1e-4)
    assert compared["pca"].rate is None
    assert compared["pca"].scores[0].n_kept == 64 * 3


def test_refining_lowers_the_error_of_every_image(compared: Comparison) -> None:
    for name in ("ae", "vae", "gon"):
        plain, refined = compared[name], compared[f"{name}-refined"]
        kept = refined.scores[0].n_kept - plain.scores[0].n_kept
        assert kept == 2 * len(DIGITS.train), "latents of training images"
        for a, b in zip(plain.scores, refined.scores, strict=True):
            assert (b.errors <= a.errors * 1.0001).all()
            assert b.error < a.error
            assert b.train_error == a.train_error


def test_the_same_settings_as_a_fit_of_ours(compared: Comparison) -> None:
    """A row of ours reaches what `fit_model` does."""
    from autodecoder import fit_model

    fit = quick(num_epochs=20)
    model = fit_model(DIGITS.train.images, decoder=DECODER, fit=fit, learning_rate=1e-2, seed=0)
    own = float(model.infer(DIGITS.val.images).errors.loss.mean())
    assert compared["without a prior"].mean("error") == pytest.approx(own, rel=0.1)
    assert compared["without a prior"].scores[0].n_trained == 2 * 16 + 16 + 16 * 64 + 64 + 480


def test_pairs_are_tested_as_scipy_does(compared: Comparison) -> None:
    found = compared.difference("auto-decoder", "ae")
    assert found is not None
    a, b = ([score.error for score in compared[name].scores] for name in ("auto-decoder", "ae"))
    assert found.p_value == pytest.approx(float(ttest_rel(a, b).pvalue))
    assert found.share == pytest.approx(np.mean(a) / np.mean(b) - 1, rel=1e-4)
    ours, theirs = (
        np.mean([score.errors for score in compared[name].scores], axis=0)
        for name in ("auto-decoder", "ae")
    )
    assert found.won == pytest.approx((ours < theirs).mean())


def test_search_takes_the_best_rate_and_goes_beyond() -> None:
    found = compare(methods=("ae",), rates=(1e-6, 1e-5), seeds=(0,), fit=HALVES)["ae"]
    assert found.rate == min(found.searched, key=lambda rate: found.searched[rate])
    assert len(found.searched) == 2 + _MOST_BEYOND
    assert max(found.searched) == pytest.approx(1e-1)
    assert found.scores[0].rate == found.rate


def test_a_rate_at_which_a_fit_collapses_is_given_up_for_a_lower_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The search has one seed for each rate and may miss it; all rows with that fit give it up."""
    rates, fit = (1e-2, 4e-2, 0.16), module.fit_method
    searched = compare(methods=("ae",), rates=rates, seeds=(0,), fit=HALVES)["ae"].searched
    best = min(searched, key=searched.__getitem__)
    second = min((rate for rate in searched if rate < best), key=searched.__getitem__)

    def collapsing(kind, task, rate, seed, *args):
        fitted = fit(kind, task, rate, seed, *args)
        if (rate, seed, len(task.train)) == (best, 3, len(DIGITS.train)):
            wrong = replace(fitted.model, latents=100 + fitted.model.latents)
            return fitted._replace(model=wrong)
        return fitted

    monkeypatch.setattr(module, "fit_method", collapsing)
    found = compare(methods=("ae", "ae-refined"), rates=rates, seeds=(0, 3), fit=HALVES)
    assert found["ae"].searched == searched
    assert [score.rate for score in found["ae"].scores] == [second, second]
    assert all(score.rate < best for score in found["ae-refined"].scores)
    (words,) = (note for note in explain(found) if note.startswith("autoencoder: "))
    assert (
        words == f"autoencoder: a fit collapsed at the learning rate {best:g}; a lower one is used."
    )
    alone = compare(methods=("ae",), rates=(best,), seeds=(0, 3), fit=HALVES)["ae"]
    assert alone.rate == best  # there is no other


def test_the_unseen_images_have_no_part_in_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, place = [], module._place

    def noted(fitted, unseen, **how):
        seen.append(unseen)
        return place(fitted, unseen, **how)

    monkeypatch.setattr(module, "_place", noted)
    compare(methods=("auto-decoder",), rates=(5e-3, 1e-2, 2e-2), seeds=(0,))
    assert seen[-1] is DIGITS.val
    held = seen[0]
    assert len(held) == len(DIGITS.train) // 6
    assert len({images.images.tobytes() for images in seen}) == 5 + 1  # few images: five splits
    train = {image.tobytes() for image in DIGITS.train.images}
    assert all(image.tobytes() in train for image in held.images)


def test_the_search_takes_as_many_steps_as_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that is good for few steps may spoil a fit of twice as many."""
    tasks, fit = [], module.fit_method

    def noted(kind, task, *args):
        tasks.append((len(task.train), task.fit.batch_size, task.fit.num_epochs))
        return fit(kind, task, *args)

    monkeypatch.setattr(module, "fit_method", noted)
    n = len(DIGITS.train)
    compare(methods=("ae",), rates=(1e-3, 2e-3), seeds=(0,), fit=HALVES)
    steps = {size // batch * epochs for size, batch, epochs in tasks}
    assert {size for size, _, _ in tasks} == {n, n - n // 6}
    assert len(steps) == 1


def test_a_method_that_diverges_is_told_and_the_others_go_on() -> None:
    found = compare(
        methods=("ae", "pca"),
        rates=(1e30,),
    )
    assert all(score.diverged for score in found["ae"].scores)
    head, lines = tabulate(found)
    assert lines[0][head.index("error, training")] == "diverged"
    assert math.isfinite(found["pca"].mean("error"))
    assert found.difference("ae", "pca") is None
    assert to_content(found)["rows"][0]["error"] is None


def test_seconds_give_each_method_its_epochs() -> None:
    slow = quick(batch_size=2)  # so that the pace of a few epochs tells that of many
    found = compare(methods=("ae", "auto-decoder"), fit=slow, seconds=0.1, seeds=(0,))
    assert found["ae"].epochs > 1  # finding the initial latents can take all of the time
    for row in found.rows:
        assert row.epochs >= 1
        assert len(row.scores[0].losses) == row.epochs
        assert 0 < row.scores[0].seconds < 30


def test_holes() -> None:
    mask = np.random.default_rng(0).random((240, 8, 8, 1)) < 0.6
    found = compare(
        dataset=some_digits(mask=mask),
        methods=(*ALL[:4], "auto-decoder"),
        fit=quick(num_epochs=20, latent_second_moment="coordinate"),
        seeds=(0,),
    )
    assert found["auto-decoder"].mean("error") < found["pca"].mean("error")
    for row in found.rows:
        assert np.isfinite(row.scores[0].errors).all()


def test_components_fit_the_known_pixels() -> None:
    """Of images in a plane, half of the pixels give the rest."""
    from autodecoder import Dataset, ImageSet

    rng = np.random.default_rng(0)
    basis = rng.normal(size=(2, 64))
    flat = 128 + 12 * rng.normal(size=(200, 2)) @ basis
    images = np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(200, 8, 8, 1)
    mask = rng.random(images.shape) < 0.7
    train, val = (
        ImageSet(images[rows], np.zeros(len(images[rows]), int), mask=mask[rows])
        for rows in (slice(0, 150), slice(150, 200))
    )
    found = compare(dataset=Dataset("plane", train, val, ("one",)), methods=("pca",))
    assert found["pca"].mean("error") < 2e-3


def test_going_on_fits_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods, fits = ("ae", "ae-refined", "auto-decoder"), []
    fit = module.fit_method

    def counted(kind, *rest):
        fits.append(kind)
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(kind, *rest)

    monkeypatch.setattr(module, "fit_method", counted)
    with pytest.raises(KeyboardInterrupt):
        compare(methods=methods, folder=tmp_path)
    first = compare(methods=methods, folder=tmp_path)
    assert len(fits) == 3 + 2
    again = compare(methods=methods, folder=tmp_path)
    assert len(fits) == 3 + 2
    for a, b in zip(first.rows, again.rows, strict=True):
        assert [s.error for s in a.scores] == [s.error for s in b.scores]
    assert set(again.models) == set(methods)
    more = compare(methods=(*methods, "pca"), seeds=(0, 1, 2), folder=tmp_path)
    assert len(fits) == 5 + 3
    assert len(more["ae"].scores) == 3
    assert load_model(tmp_path / "models" / "ae").latents.shape == (240, 2)
    with pytest.raises(ConfigError, match="another decoder"):
        compare(methods=methods, folder=tmp_path, decoder=DecoderConfig(arch=(17,)))
    with pytest.raises(ConfigError, match="another budget or other settings of ae"):
        compare(methods=methods, folder=tmp_path, fit=quick(num_epochs=5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"methods": ("svm",)}, "methods must be one of"),
        ({"methods": ("ae", "ae")}, "named once, got ae twice"),
        ({"methods": ()}, "at least one"),
        ({"seeds": (1, 1)}, "seeds must differ"),
        ({"rates": (1e-2, 0.01)}, "rates must differ"),
        ({"rates": ()}, "rates must name"),
        ({"rates": (-1.0,)}, "learning_rate must"),
        ({"seconds": 0}, "seconds must be a number above 0"),
        ({"seconds": math.inf}, "seconds must be a number above 0"),
        ({"fit": quick(prior="mixture", n_components=1000)}, "n_components must not exceed"),
        ({"fit": quick(codes="gaussian")}, "codes"),
        ({"fit": quick(loss="bce")}, "loss bce is for"),
        ({"scaler": "grey"}, "scaler must be one of"),
        ({"methods": "ae"}, "methods must be a list of names, got 'ae'"),
        ({"others": {"ae-refined": quick()}}, "not like one of the methods, got 'ae-refined'"),
        ({"others": {"../away": quick()}}, "others must be named by letters"),
        ({"others": {"long": quick(num_epochs=9)}}, "num_epochs must be the same for all methods"),
    ],
)
def test_wrong_settings(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(**{"methods": ("ae",), **values})


def test_the_search_bounds_the_components() -> None:
    with pytest.raises(ConfigError, match="training images, 200 without the 40 held out, got 220"):
        compare(
            methods=("auto-decoder",),
            rates=(1e-3, 1e-2),
            fit=quick(prior="mixture", n_components=220),
        )


def test_a_prior_is_that_of_the_auto_decoder_alone(compared: Comparison) -> None:
    found = compared.models
    ours = found["auto-decoder"]
    assert learnt_prior(found["ae-refined"]) is None is learnt_prior(found["pca"])
    assert learnt_prior(ours) is not None
    assert ours.latent_deviations is not None
    assert ours.latent_deviations.shape == ours.latents.shape


def test_measures_are_taken_when_they_are_asked_for(tmp_path: Path) -> None:
    shared = {"methods": ("ae",), "folder": tmp_path}
    assert compare(**shared)["ae"].scores[0].measures == {}
    ones = compare(**shared, measures=lambda _: {"one": np.float32(1)})
    assert [score.measures for score in ones["ae"].scores] == [{"one": 1.0}] * 2
    again = compare(**shared, measures=lambda _: pytest.fail("taken before"))
    assert again["ae"].mean("one") == 1.0


def test_a_kept_model_is_that_of_the_first_seed(tmp_path: Path) -> None:
    shared = {"methods": ("ae",), "folder": tmp_path}
    first = compare(**shared, seeds=(0, 1)).models["ae"]
    kept = compare(**shared, seeds=(0, 1)).models["ae"]
    np.testing.assert_array_equal(kept.latents, first.latents)
    assert "ae" not in compare(**shared, seeds=(1, 0)).models


def test_what_is_not_finite_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    place = module._place
    monkeypatch.setattr(module, "_place", lambda *a, **b: np.nan * place(*a, **b))
    found = compare(methods=("ae",), measures=lambda _: pytest.fail("not finite"))
    assert [score.diverged for score in found["ae"].scores] == [True, True]


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        compare(methods=("pca",), folder=tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        compare(methods=("pca",), folder=tmp_path / "file")


def test_a_damaged_result_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = compare(methods=("ae",), seeds=(0,), folder=tmp_path)
    (fit,) = (tmp_path / "fits").iterdir()
    whole = fit.read_bytes()
    fit.write_bytes(whole[:-9])
    again = compare(methods=("ae",), seeds=(0,), folder=tmp_path)
    assert "is damaged: this fit is done again" in caplog.text
    assert again["ae"].mean("error") == first["ae"].mean("error")


def test_models_are_those_of_their_rows(tmp_path: Path) -> None:
    rows = ("ae", "ae-refined", "auto-decoder")
    found = compare(methods=rows, seeds=(3, 0), folder=tmp_path)
    more = compare(methods=rows, seeds=(3, 0, 1), folder=tmp_path)
    for compared in (found, more):
        for name in rows:
            losses = compared[name].scores[0].losses
            assert compared.models[name].history["loss"] == pytest.approx(losses)


def test_the_order_of_images_is_that_of_our_own_fits() -> None:
    import jax
    import jax.numpy as jnp

    from autodecoder.compare.fits import Task
    from autodecoder.compare.training import begin_training
    from autodecoder.core.fit import epoch_keys, init_run
    from autodecoder.core.population import execution_key
    from autodecoder.core.runs import Images

    config = Task(DIGITS.train, DECODER, quick(latent_start="zeros"), "standard").config
    images = Images(jnp.asarray(DIGITS.train.flat), jnp.zeros((0, 64), jnp.uint8))
    key = jax.random.key(5)
    ours = init_run(execution_key(key, 0), images, None, config).state
    theirs = begin_training(key, "ae", config)
    keys = [epoch_keys(state.key, state.epoch).order for state in (ours, theirs)]
    assert jax.random.key_data(keys[0]).tolist() == jax.random.key_data(keys[1]).tolist()
    first, second = (jax.tree.leaves(part.decoder) for part in (ours, theirs.coder))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_constant_images() -> None:
    from autodecoder import Dataset, ImageSet

    train, val = (
        ImageSet(np.full_like(part.images, 7), np.zeros(len(part), int))
        for part in (DIGITS.train, DIGITS.val)
    )
    dataset = Dataset("constant", train, val, ("one",))
    found = compare(dataset=dataset, methods=("pca", "auto-decoder"))
    share = found.difference("auto-decoder", "pca")
    assert share is None or math.isnan(share.share) or share.share > 0
    tabulate(found, "auto-decoder")


def test_too_few_images() -> None:
    with pytest.raises(DataError, match="no validation images"):
        compare(dataset=some_digits(20, 0))
    with pytest.raises(DataError, match="6 training images or more, got 5"):
        compare(dataset=some_digits(5, 4), rates=(1e-3, 1e-2))


def test_words_about_rows() -> None:
    def score(seed: int, error: float) -> Score:
        errors = np.full(4, error, np.float32)
        return Score(seed, 0.1, False, error, errors, np.ones(2), 1.0, 1.0, 5, 5, 10**6)

    rows = [
        Row("ae", "autoencoder", 2, {0.1: 0.2, 0.2: 0.3}, [score(0, 0.2), score(1, 0.4)]),
        Row("auto-decoder", "auto-decoder", 2, {}, [score(0, 0.1), score(1, 0.2)]),
    ]
    shared = {"scaler": "standard", "seeds": [0, 1], "n_held": 40, "n_splits": 1}
    compared = Comparison(rows, shared)
    head, lines = tabulate(compared, "auto-decoder")
    line = dict(zip(head, lines[0], strict=True))
    assert line["error, unseen"] == "0.3000 ± 0.1414"
    assert line["auto-decoder against it"] == "-50.0 %"
    assert line["images where it is better"] == "100 %"
    assert any("autoencoder: the best learning rate is at the edge" in s for s in explain(compared))


def test_settings_of_a_fit_are_plain(compared: Comparison) -> None:
    content = to_content(compared, "auto-decoder")
    assert content["rows"][1]["ours_against_it"]["won"] > 0
    assert isinstance(content["settings"]["methods"]["ae"], dict)
    assert FitConfig(**content["settings"]["methods"]["ae"]).num_epochs == 20
