"""The estimator on real digits: in pipelines and searches, on images, and on awkward samples."""

import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodecoder import AutoDecoder, fit_model, load_model, save_model
from autodecoder.cli.study_flags import StudyFlags, read_flags
from autodecoder.config import DecoderConfig, FitConfig, to_dict

SMALL: dict[str, Any] = {"arch": "32-32", "num_epochs": 40, "random_state": 0}
TINY: dict[str, Any] = {"arch": "4", "num_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return np.asarray(X), np.asarray(y)


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> AutoDecoder:
    return AutoDecoder(**SMALL | {"num_epochs": 200}).fit(digits[0][:400])


@pytest.mark.thorough
def test_what_training_gives_the_estimator_keeps(
    fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    assert fitted.n_features_in_ == 64
    assert fitted.model_.latents.shape == (400, 2)
    assert fitted.reconstruction_error_ == fitted.model_.history["loss"][-1] < 0.75
    assert -0.75 < fitted.score(digits[0][:400]) < 0
    seen, unseen = fitted.score(digits[0][:400]), fitted.score(digits[0][400:800])
    assert unseen < seen, "what it has not seen it reconstructs less well"


def test_transform_and_back_comes_near_unseen_samples(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X = digits[0] / 16
    estimator = AutoDecoder(scaler="standard", **SMALL | {"num_epochs": 150}).fit(X[:1000])
    unseen = X[1000:]
    back = estimator.inverse_transform(estimator.transform(unseen))
    assert back.shape == unseen.shape
    assert np.mean((back - unseen) ** 2) < 0.6 * np.mean((unseen.mean(0) - unseen) ** 2)


def test_latents_of_training_samples_are_found_again(
    fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """By inference no sample is worse off than where training left it."""
    X = digits[0][:400]
    by = fitted.model_.standardization
    assert by is not None
    inferred = fitted.transform(X)
    errors = []
    for latents in (fitted.model_.latents, inferred):
        off = (fitted.inverse_transform(latents) - X) / np.where(by.std > 0, by.std, 1)
        errors.append(np.mean(off**2))
    assert errors[1] <= errors[0] * 1.001
    np.testing.assert_array_equal(AutoDecoder(**fitted.get_params()).fit_transform(X), inferred)


@pytest.mark.thorough
def test_names_of_columns_come_out(digits: tuple[np.ndarray, np.ndarray]) -> None:
    frame = pd.DataFrame(digits[0][:60], columns=[f"pixel {k}" for k in range(64)])
    estimator = AutoDecoder(**SMALL).set_output(transform="pandas").fit(frame)
    found = estimator.transform(frame)
    assert list(found.columns) == ["autodecoder0", "autodecoder1"]
    assert list(estimator.feature_names_in_) == list(frame.columns)


@pytest.mark.parametrize("copy", [lambda e: pickle.loads(pickle.dumps(e)), "joblib"])
def test_copies_give_the_same_latents(
    copy: Any, fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    if copy == "joblib":
        joblib.dump(fitted, tmp_path / "estimator")
        other = joblib.load(tmp_path / "estimator")
    else:
        other = copy(fitted)
    X = digits[0][500:520]
    np.testing.assert_array_equal(other.transform(X), fitted.transform(X))


def test_its_model_can_be_saved(
    fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    save_model(fitted.model_, tmp_path)
    X = digits[0][500:520]
    np.testing.assert_array_equal(load_model(tmp_path).infer(X).latents, fitted.transform(X))


@pytest.mark.thorough
@pytest.mark.parametrize("dims", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_in_a_pipeline_it_tells_more_than_principal_components(
    dims: int, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test, of_train, of_test = train_test_split(*digits, random_state=0, stratify=digits[1])
    scores = []
    for reduction in (PCA(dims), AutoDecoder(dims, arch="64-64", num_epochs=60, random_state=0)):
        pipeline = make_pipeline(StandardScaler(), reduction, LogisticRegression(max_iter=2000))
        scores.append(pipeline.fit(train, of_train).score(test, of_test))
    assert scores[1] > scores[0] + 0.02


@pytest.mark.slow
def test_a_grid_search_finds_that_more_dimensions_lose_less(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    search = GridSearchCV(AutoDecoder(**SMALL), {"latent_dims": [1, 3]}, cv=3)
    search.fit(digits[0][:300])
    assert search.best_params_ == {"latent_dims": 3}
    assert search.best_score_ > search.cv_results_["mean_test_score"][0]


# Images


@pytest.mark.parametrize(
    "kind",
    [
        "channels",
        pytest.param("flat uint8", marks=pytest.mark.thorough),
        pytest.param("lists", marks=pytest.mark.thorough),
    ],
)
def test_images_of_every_form_are_pixels(kind: str, digits: tuple[np.ndarray, np.ndarray]) -> None:
    images = digits[0][:60].reshape(-1, 8, 8)
    X: Any = {
        "channels": np.repeat(images[..., None] / 16, 3, axis=-1),
        "flat uint8": np.rint(images * 15).astype(np.uint8).reshape(-1, 64),
        "lists": (images / 16).tolist(),
    }[kind]
    estimator = AutoDecoder(**SMALL).fit(X)
    assert estimator.model_.scaler == "standard"
    back = estimator.inverse_transform(estimator.transform(X))
    assert back.shape == np.shape(X)
    assert (back.min(), back.max()) >= (0, 0.5)
    assert back.max() <= 1


@pytest.mark.thorough
def test_flat_floats_are_pixels_where_one_says_so(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:60] / 16
    assert AutoDecoder(**SMALL).fit(X).model_.scaler == "standardize"
    estimator = AutoDecoder(scaler="zero_one", **SMALL).fit(X)
    assert estimator.inverse_transform(estimator.transform(X)).min() >= 0
    with pytest.raises(ValueError, match="float pixels must lie between 0 and 1"):
        AutoDecoder(scaler="zero_one", **SMALL).fit(X * 16)


@pytest.mark.parametrize(
    "shape", [(8, 8), pytest.param((4, 8, 2), marks=pytest.mark.thorough), np.array([8, 8, 1])]
)
def test_a_flat_table_may_hold_images(shape: Any, digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:60] / 16
    few = SMALL | {"num_epochs": 2}
    estimator = AutoDecoder(image_shape=shape, **few).fit(pd.DataFrame(X))
    sides = tuple(shape)
    images = X.reshape(-1, *sides)
    assert estimator.model_.image_shape == (*sides, 1)[:3]
    assert estimator.model_.scaler == "standard"
    expected = AutoDecoder(**few).fit(images)
    np.testing.assert_array_equal(estimator.embedding_, expected.embedding_)
    latents = estimator.transform(X)
    np.testing.assert_array_equal(estimator.transform(images), latents)
    assert estimator.inverse_transform(latents).shape == X.shape, "as it was given"
    back = AutoDecoder(image_shape=shape, **few).fit(images)
    assert back.inverse_transform(latents).shape == images.shape
    estimator.partial_fit(X[:40], num_epochs=1)
    assert estimator.embedding_.shape == (60, 2)
    with pytest.raises(ValueError, match=r"samples of shape \(64,\), got \(7, 7\)"):
        estimator.transform(np.zeros((2, 7, 7)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_shape": (7, 7)}, "image_shape must hold as many values as a sample: 7 × 7 is 49"),
        ({"image_shape": (64,)}, r"must be \(height, width\) or \(height, width, channels\)"),
        ({"image_shape": (8.0, 8)}, "image_shape must be"),
        ({"image_shape": (0, 8)}, "image_shape must be"),
        ({"image_shape": 8}, "'image_shape' parameter"),
        ({"image_shape": (1, 8, 8)}, r"channels last.*reshape\(-1, 1, 8, 8\).transpose"),
        ({"image_shape": (8, 8), "scaler": "standardize"}, "image_shape is for pixels"),
    ],
)
def test_shapes_that_do_not_fit_are_told(
    parameters: dict[str, Any], message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=message):
        AutoDecoder(**SMALL | parameters).fit(digits[0][:20] / 16)


def test_bytes_as_floats_are_bytes(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """As a table from the web has them; floats that reach less far need their range."""
    X = np.rint(digits[0][:60] * 255 / 16)
    few = SMALL | {"num_epochs": 2, "image_shape": (8, 8)}
    expected = AutoDecoder(**few).fit(X.astype(np.uint8))
    for held in (X, X.astype(np.int64), pd.DataFrame(X.astype(np.float32))):
        estimator = AutoDecoder(**few).fit(held)
        np.testing.assert_allclose(estimator.embedding_, expected.embedding_, atol=1e-3)
    dark = AutoDecoder(**few).fit(X)
    assert dark.model_.pixel_range == (0, 255)
    assert dark.transform(X[:2] * 0.1).shape == (2, 2), "read alike, whatever their largest value"
    with pytest.raises(ValueError, match=r"pixel_range=\(0, 63\.75\)"):
        AutoDecoder(**few).fit(X / 4)


# Labels


def test_labels_are_kept_and_change_nothing(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits[0][:60], np.array(["even", "odd"])[digits[1][:60] % 2]
    plain = AutoDecoder(**SMALL).fit(X)
    assert plain.model_.labels is None
    labelled = AutoDecoder(**SMALL).fit(X, y)
    np.testing.assert_array_equal(labelled.embedding_, plain.embedding_)
    assert labelled.model_.about["class_names"] == ["even", "odd"]
    np.testing.assert_array_equal(labelled.model_.labels, digits[1][:60] % 2)
    several = AutoDecoder(**SMALL).fit(X, X[:, :3])
    assert several.model_.labels is None
    with pytest.raises(ValueError, match="y must have one label for each of 60 samples, got"):
        AutoDecoder(**SMALL).fit(X, y[:59])


def test_labels_of_further_samples_join_the_known_ones(tmp_path: Any) -> None:
    X = np.random.default_rng(0).normal(size=(35, 4))
    estimator = AutoDecoder(**TINY).partial_fit(X[:20], ["b", "a"] * 10)
    estimator.partial_fit(X[10:25], ["c"] * 15)
    model = estimator.model_
    assert model.about["class_names"] == ["a", "b", "c"]
    assert model.labels is not None
    assert model.labels.tolist() == [1, 0] * 10 + [2] * 5
    estimator.partial_fit(X[25:30])
    assert estimator.model_.about["class_names"] == ["a", "b", "c", "unlabelled"]
    warm = pickle.loads(pickle.dumps(estimator)).set_params(warm_start=True)
    y = ["b", "a"] * 10 + ["c"] * 5 + [None] * 5 + ["d"] * 5
    warm.fit(X, y)
    assert warm.model_.labels.tolist()[-6:] == [3] + [4] * 5
    with pytest.raises(ValueError, match="labels must begin with those of start"):
        warm.fit(X, ["a"] * 35)
    save_model(warm.model_, tmp_path)
    assert load_model(tmp_path).about["class_names"] == ["a", "b", "c", "unlabelled", "d"]


def test_the_index_of_a_frame_names_the_samples() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(35, 4))).add_prefix("x")
    first = frame.iloc[:20]
    plain = AutoDecoder(**TINY).fit(first)
    assert plain.model_.names is None, "it only counts"
    named = frame.set_index(pd.Index([f"plant {k}" for k in range(35)]))
    estimator = AutoDecoder(**TINY, warm_start=True).fit(named.iloc[:20])
    np.testing.assert_array_equal(estimator.embedding_, plain.embedding_)
    assert estimator.model_.names is not None
    names = named.index[:20].tolist()
    assert estimator.model_.names.tolist() == names
    estimator.fit(first)
    assert estimator.model_.names.tolist() == names, "of the same samples"
    on = AutoDecoder(**TINY).partial_fit(frame.iloc[29:9:-1])
    assert on.model_.names is not None
    known = list(range(29, 9, -1))
    assert on.model_.names.tolist() == known
    on.partial_fit(named.iloc[5:12])
    assert on.model_.names.tolist() == [*map(str, known), *names[5:10]]
    on.partial_fit(frame.iloc[30:].reset_index(drop=True))
    assert on.model_.names.tolist()[-6:] == ["plant 9", *[""] * 5]
    later = plain.partial_fit(pd.concat([named.iloc[3:20], named.iloc[:5] + 100])).model_
    assert later.names is not None
    assert later.names.tolist() == [""] * 20 + names[:5]


def test_labels_may_come_later() -> None:
    X = np.random.default_rng(0).normal(size=(25, 4))
    estimator = AutoDecoder(**TINY).partial_fit(X[:20])
    estimator.partial_fit(X[20:], np.arange(5))
    model = estimator.model_
    assert model.labels is not None
    assert model.labels.tolist() == [5] * 20 + list(range(5))
    assert model.about["class_names"][-1] == "unlabelled"


# Going on


@pytest.mark.thorough
def test_further_samples_are_taken_in_once(
    fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    X, epochs = digits[0], []
    estimator = AutoDecoder(**fitted.get_params() | {"verbose": True})
    estimator.set_params(callback=lambda epoch, metrics: epochs.append(epoch))
    estimator.partial_fit(X[:400])
    np.testing.assert_array_equal(estimator.model_.latents, fitted.model_.latents)
    assert "200/200" in capsys.readouterr().err
    before = estimator.score(X[400:440])
    estimator.partial_fit(X[380:440])
    assert estimator.model_.latents.shape == (440, 2)
    assert estimator.model_.about["epoch"] == epochs[-1] == 220, "a tenth more"
    after = estimator.score(X[400:440])
    assert after > before, "they are trained on"
    estimator.partial_fit(X[:40], num_epochs=1)
    assert estimator.model_.latents.shape == (440, 2), "they are known already"
    assert estimator.model_.about["epoch"] == 221


def test_a_warm_start_goes_on_also_from_a_copy(
    fitted: AutoDecoder, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X = digits[0][:400]
    estimator = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True, num_epochs=3)
    with pytest.raises(ValueError, match="a copy of the estimator does not keep the samples"):
        estimator.partial_fit(X)
    estimator.fit(X)
    assert estimator.model_.about["epoch"] == 203
    np.testing.assert_array_equal(
        estimator.model_.history["loss"][:200], fitted.model_.history["loss"]
    )
    with pytest.raises(ValueError, match="latent_dims must be that of start, 2, got 3"):
        estimator.set_params(latent_dims=3).fit(X)


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((3, 63), np.uint8), {}, "63 features, but AutoDecoder is expecting 64"),
        (np.zeros((3, 7, 7), np.uint8), {}, r"samples of shape \(8, 8\), got \(7, 7\)"),
        (np.zeros((3, 8, 8)), {}, "X must have dtype uint8 like the samples before"),
        (np.zeros((3, 8, 8), np.uint8), {"num_epochs": 0}, "num_epochs must be"),
    ],
)
def test_samples_that_cannot_be_added_are_told(
    X: np.ndarray, options: dict[str, Any], message: str, images: AutoDecoder
) -> None:
    with pytest.raises(ValueError, match=message):
        images.partial_fit(X, **options)


@pytest.fixture(scope="module")
def images(digits: tuple[np.ndarray, np.ndarray]) -> AutoDecoder:
    X = np.rint(digits[0][:60] * 15).astype(np.uint8).reshape(-1, 8, 8)
    return AutoDecoder(**SMALL | {"num_epochs": 2}).fit(X)


# Awkward samples and parameters


@pytest.mark.thorough
def test_one_sample_is_enough() -> None:
    X = np.array([[1.0, 5.0, -3.0]])
    estimator = AutoDecoder(**SMALL).fit(X)
    np.testing.assert_array_equal(estimator.inverse_transform(estimator.transform(X)), X)


def test_constant_columns_come_back() -> None:
    X = np.random.default_rng(0).normal(size=(60, 64))
    X[:, 1], X[:, 2] = 7e30, 0
    estimator = AutoDecoder(**SMALL).fit(X)
    back = estimator.inverse_transform(estimator.transform(X))
    np.testing.assert_array_equal(back[:, 1:3], X[:, 1:3].astype(np.float32))
    constant = AutoDecoder(**SMALL).fit(np.full((60, 64), 2.5))
    assert constant.score(np.full((5, 64), 2.5)) > -0.01


@pytest.mark.thorough
def test_there_may_be_fewer_samples_than_latent_dimensions() -> None:
    X = np.random.default_rng(0).normal(size=(5, 8))
    assert AutoDecoder(12, **SMALL).fit(X).transform(X).shape == (5, 12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_dims": 0}, "'latent_dims' parameter"),
        ({"latent_dims": 2.5}, "'latent_dims' parameter"),
        ({"arch": "8-x"}, "arch must be layer widths"),
        ({"arch": ()}, "arch must"),
        ({"scaler": "log"}, "'scaler' parameter"),
        ({"num_epochs": 0}, "'num_epochs' parameter"),
        ({"learning_rate": -1.0}, "'learning_rate' parameter"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"recipe": "slow"}, "'recipe' parameter"),
        ({"activation": "sine"}, "'activation' parameter"),
        ({"dropout_rate": 1.0}, "'dropout_rate' parameter"),
        ({"prior": "normal"}, "'prior' parameter"),
        ({"codes": "dots"}, "'codes' parameter"),
        ({"codes": "gaussian"}, "codes gaussian needs a prior"),
        ({"random_state": "x"}, "'random_state' parameter"),
        ({"batch_norm": True, "batch_size": 1}, "batch_norm needs the statistics of a batch"),
        ({"learning_rate": 1e30}, "the loss was no longer finite"),
    ],
)
def test_bad_parameters_are_told_by_fit(parameters: dict[str, Any], message: str) -> None:
    X = np.random.default_rng(0).normal(size=(60, 64))
    with pytest.raises(ValueError, match=message):
        AutoDecoder(**{**SMALL, **parameters}).fit(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((5, 3), np.nan), "each of the samples must have a known value, but number 0 has"),
        (np.full((5, 4, 4), np.nan), "each of the images must have a known value"),
        (np.zeros((0, 3)), "0 sample"),
        (np.zeros((3, 0)), "0 feature"),
        (np.zeros(3), "1D array"),
        (np.full((3, 4, 4), 7.0), "float pixels must lie between 0 and 1"),
        ([[1, 2], [3]], "inhomogeneous"),
        (np.zeros((2, 2, 2, 2, 2)), "images must be"),
    ],
)
def test_bad_samples_are_told(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoDecoder(**SMALL).fit(X)


def test_samples_of_another_shape_are_told(fitted: AutoDecoder) -> None:
    with pytest.raises(ValueError, match="63 features, but AutoDecoder is expecting 64"):
        fitted.transform(np.zeros((2, 63)))
    with pytest.raises(ValueError, match=r"samples of shape \(64,\), got \(7, 7\)"):
        fitted.transform(np.zeros((2, 7, 7)))
    with pytest.raises(ValueError, match=r"latents must be \(n, 2\)"):
        fitted.inverse_transform(np.zeros((2, 3)))


def test_before_the_fit_there_is_nothing() -> None:
    for method in ("transform", "inverse_transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(AutoDecoder(), method)(np.zeros((2, 2)))


@pytest.mark.thorough
def test_whole_numbers_are_pixels_where_pixels_are_meant() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(20, 4, 4))
    kept = [AutoDecoder(**SMALL).fit(x) for x in (images, images.astype(np.uint8))]
    np.testing.assert_array_equal(kept[0].model_.latents, kept[1].model_.latents)
    X = images.reshape(20, 16)
    estimator = AutoDecoder(scaler="standard", **SMALL).fit(X)
    frame = AutoDecoder(scaler="standard", **SMALL).fit(pd.DataFrame(X))
    np.testing.assert_array_equal(frame.model_.latents, estimator.model_.latents)
    np.testing.assert_array_equal(estimator.transform(X), estimator.transform(X.astype(np.uint8)))
    with pytest.raises(ValueError, match="whole-number pixels must lie between 0 and 255, but"):
        AutoDecoder(**SMALL).fit(images * 2)
    with pytest.raises(ValueError, match="samples must be at most 1e"):
        AutoDecoder(**SMALL).fit(np.full((5, 2), 1e39))


def test_numbers_of_numpy_are_numbers() -> None:
    X = np.random.default_rng(0).normal(size=(60, 64))
    numbers = {"learning_rate": np.float32(0.001), "num_epochs": np.int64(40)}
    for arch in (np.array([32, 32]), [np.int64(32), 32], (32, 32)):
        estimator = AutoDecoder(np.int32(2), **{**SMALL, "arch": arch, **numbers}).fit(X)
        assert estimator.model_.decoder.config.arch == (32, 32)


# Defaults


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fast", "original"])
def test_defaults_are_those_of_the_command_line(recipe: str) -> None:
    X = np.random.default_rng(0).random((130, 6))
    settings = AutoDecoder(num_epochs=1, recipe=recipe).fit(X).model_.about["settings"]
    asked = read_flags(StudyFlags(recipe=recipe, num_epochs=1), None).config
    assert settings["decoder"] == to_dict(asked.decoder)
    assert settings["fit"] == to_dict(asked.fit)


@pytest.mark.thorough
def test_defaults_are_those_of_the_functions() -> None:
    X = np.random.default_rng(0).random((130, 6))
    model = AutoDecoder(num_epochs=1, scaler="standardize").fit(X).model_
    other = fit_model(X, scaler="standardize", fit=FitConfig(num_epochs=1))
    assert model.about["values"] == other.about["values"] == {"learning_rate": 5e-3}
    assert model.about["settings"]["decoder"] == to_dict(DecoderConfig())


@pytest.mark.thorough
@pytest.mark.parametrize("batch_norm", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_batch_normalisation_that_is_asked_for_wins_over_the_recipe(batch_norm: bool) -> None:
    X = np.random.default_rng(0).random((20, 6))
    for recipe, rate in (("fast", 5e-3), ("original", 1e-3)):
        estimator = AutoDecoder(arch="4", num_epochs=1, recipe=recipe, batch_norm=batch_norm)
        about = estimator.fit(X).model_.about
        assert about["settings"]["decoder"]["batch_norm"] is batch_norm
        assert about["values"] == {"learning_rate": rate}


def test_the_start_that_is_asked_for_wins_over_the_recipe() -> None:
    X = np.random.default_rng(0).random((20, 6))
    for asked, found in ((None, "zeros"), ("pca", "pca")):
        estimator = AutoDecoder(arch="4", num_epochs=1, recipe="original", latent_start=asked)
        assert estimator.fit(X).model_.about["settings"]["fit"]["latent_start"] == found
    with pytest.raises(ValueError, match="latent_start"):
        AutoDecoder(latent_start="ones").fit(X)


@pytest.mark.filterwarnings("ignore:images hold only 0 and 1", "ignore:X does not have valid")
def test_whatever_holds_the_numbers_the_result_is_the_same() -> None:
    X = np.random.default_rng(0).integers(0, 2, (20, 16))
    frame = pd.DataFrame(X, columns=[f"pixel {k}" for k in range(16)])
    held: list[Any] = [frame, frame.astype("Int64"), frame.astype("UInt8"), frame.astype(object)]
    held += [frame.astype("category"), X.tolist(), X.astype(np.uint8)]
    expected = AutoDecoder(scaler="standard", **SMALL).fit(X)
    latents = expected.transform(X)
    for other in held:
        estimator = AutoDecoder(scaler="standard", **SMALL).fit(other)
        np.testing.assert_array_equal(estimator.model_.latents, expected.model_.latents)
        np.testing.assert_array_equal(estimator.transform(other), latents)
        if isinstance(other, pd.DataFrame):
            assert list(vars(estimator)["feature_names_in_"]) == list(frame.columns)


@pytest.mark.thorough
@pytest.mark.parametrize("type_", ["uint8", "UInt8", "polars", "tensor", "arrow"])
def test_bytes_are_pixels_whatever_holds_them(type_: str) -> None:
    X = np.random.default_rng(0).integers(0, 256, (20, 16)).astype(np.uint8)
    frame = pd.DataFrame(X, columns=[f"pixel {k}" for k in range(16)])
    if type_ == "polars":
        held: Any = pytest.importorskip("polars").DataFrame(frame.to_dict("list"))
        held = held.cast(pytest.importorskip("polars").UInt8)
    elif type_ == "tensor":
        held = pytest.importorskip("torch").tensor(X)
    elif type_ == "arrow":
        pytest.importorskip("pyarrow")
        held = frame.astype("uint8[pyarrow]")
    else:
        held = frame.astype(type_)
    assert AutoDecoder(**SMALL | {"num_epochs": 2}).fit(held).model_.scaler == "standard"


@pytest.mark.thorough
def test_values_of_black_and_white_are_named_and_kept(tmp_path: Any) -> None:
    X = np.random.default_rng(0).integers(0, 2, (20, 16))
    with pytest.warns(UserWarning, match=r"only 0 and 1, .* pixel_range=\(0, 1\)"):
        AutoDecoder(scaler="standard", **SMALL | {"num_epochs": 2}).fit(X)
    expected = AutoDecoder(scaler="standard", **SMALL).fit(X.astype(float))
    for held in (X, X.astype(np.uint8), pd.DataFrame(X).astype("Int64"), X > 0):
        estimator = AutoDecoder(pixel_range=(0, 1), **SMALL).fit(held)
        np.testing.assert_array_equal(estimator.model_.latents, expected.model_.latents)
    save_model(estimator.model_, tmp_path)
    again = load_model(tmp_path)
    assert again.pixel_range == (0, 1)
    np.testing.assert_array_equal(again.infer(X).latents, expected.transform(X.astype(float)))
    wide = AutoDecoder(pixel_range=(0, 4095), **SMALL).fit(X * 4095)
    np.testing.assert_array_equal(wide.model_.latents, expected.model_.latents)


@pytest.mark.parametrize("scaler", ["standard", "standardize"])
def test_words_and_infinite_values_are_told(scaler: str) -> None:
    with pytest.raises(ValueError, match="Input X contains infinity"):
        AutoDecoder(scaler=scaler, **SMALL).fit([[1.0, np.inf], [0.0, np.nan]])
    with pytest.raises(ValueError, match="could not convert string to float"):
        AutoDecoder(scaler=scaler, **SMALL).fit(pd.DataFrame({"a": ["x", "y"]}))


def test_a_prior_and_gaussian_codes_are_parameters() -> None:
    X = np.random.default_rng(0).normal(size=(12, 3))
    fitted = AutoDecoder(**TINY, prior="mixture", codes="gaussian").fit(X)
    deviations = fitted.model_.latent_deviations
    assert deviations is not None
    assert deviations.shape == fitted.embedding_.shape
    assert len(fitted.model_.density.means) == len(X)
