"""Which pictures a study gets; that each is a picture; and that a failure leaves no half of one."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import numpy as np
import pytest
from PIL import Image

from autodecoder.config import METRICS, DecoderConfig, LogConfig, SearchConfig, StudyConfig
from autodecoder.core.decoders import init_decoder
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.report import write_pictures
from autodecoder.study import Execution, Outcome, Shown, Study, Trial
from autodecoder.study.checkpoint import save_outcome
from autodecoder.study.records import execution_folder
from autodecoder.study.results import rank

ALWAYS = (
    "loss_curves",
    "reconstructions_train",
    "reconstructions_val",
    "reconstructions_extreme",
    "errors",
    "latent_plane",
    "interpolations",
)
SEVERAL_RATES = ("learning_rates",)
TWO_DIMS = ("latent_space_train", "latent_space_val")
MORE_DIMS = (*TWO_DIMS, "latent_pairs")

N_TRAIN, N_VAL = 30, 25


def noise(*, channels: int = 1, n_val: int = N_VAL) -> Dataset:
    rng = np.random.default_rng(0)

    def image_set(n: int) -> ImageSet:
        images = rng.integers(256, size=(n, 4, 5, channels), dtype=np.uint8)
        return ImageSet(images, np.arange(n) % 3)

    return Dataset("noise", image_set(N_TRAIN), image_set(n_val), ("a", "b", "c"))


def study(
    folder: Path, *, n_trials: int = 2, latent_dims: int = 2, metric: str = "val_loss"
) -> Study:
    """A study of random numbers, as its folder would tell it, without a run to be shown."""
    rng = np.random.default_rng(0)
    rates = tuple(10.0 ** -(k + 1) for k in range(n_trials))
    config = StudyConfig(
        decoder=DecoderConfig(arch=(8,), latent_dims=latent_dims),
        search=SearchConfig({"learning_rate": rates}),
        executions_per_trial=2,
        objective=metric,
    )

    def execution() -> Execution:
        history = {name: rng.random(5, np.float32) for name in METRICS}
        return Execution(history, config.metric, "finished", 1.0)

    trials = [
        Trial(f"{k:08x}", k, {"learning_rate": rate}, (execution(), execution()), "complete")
        for k, rate in enumerate(rates)
    ]
    return Study(folder, config, {}, rank(trials, config.metric))


def show(study: Study, dataset: Dataset, latent_dims: int = 2, **changed: np.ndarray) -> None:
    """Keep what the pictures of the best run need, as the study does."""
    rng = np.random.default_rng(1)
    n_val = len(dataset.val)
    config = study.config.parts(study.trials[0].values)[0]
    decoder = init_decoder(jax.random.key(0), config, dataset.image_shape, "tanh")
    about: Any = study.about
    about |= {
        "image_shape": dataset.image_shape,
        "class_names": dataset.class_names,
        "data_fingerprint": "of noise",
    }
    shown = Shown(
        tree_to_arrays(decoder),
        rng.normal(size=(N_TRAIN, latent_dims)).astype(np.float32),
        rng.normal(size=(n_val, latent_dims)).astype(np.float32),
        dataset.train.labels,
        dataset.val.labels,
        rng.random(n_val, np.float32),
    )
    shown = replace(shown, **changed)
    best = study.trials[0]
    folder = execution_folder(study.folder, best.trial_id, 1)
    save_outcome(folder, Outcome(best.executions[1].history, "finished", 1.0, shown, "fresh"))


def assert_is_a_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 200
        assert np.asarray(image.convert("L")).std() > 0, "blank"


@pytest.mark.parametrize(
    ("n_trials", "latent_dims", "channels", "names"),
    [
        (2, 2, 3, ALWAYS + SEVERAL_RATES + TWO_DIMS),
        pytest.param(2, 6, 1, ALWAYS + SEVERAL_RATES + MORE_DIMS, marks=pytest.mark.thorough),
        (1, 1, 1, ALWAYS),
    ],
)
def test_a_study_gets_its_pictures(
    tmp_path: Path, n_trials: int, latent_dims: int, channels: int, names: tuple[str, ...]
) -> None:
    dataset = noise(channels=channels)
    result = study(tmp_path, n_trials=n_trials, latent_dims=latent_dims)
    show(result, dataset, latent_dims)
    paths = write_pictures(result, dataset)
    assert {path.name for path in paths} == {f"{name}.png" for name in names}
    assert sorted((tmp_path / "report").iterdir()) == sorted(paths), "nothing else"
    for path in paths:
        assert_is_a_picture(path)


@pytest.mark.slow
def test_pictures_are_drawn_as_svg_too_where_asked_for(tmp_path: Path) -> None:
    dataset, result = noise(), study(tmp_path, n_trials=1)
    asked = replace(result, config=replace(result.config, log=LogConfig(svg=True)))
    show(asked, dataset)
    written = write_pictures(asked, dataset)
    assert {path.suffix for path in written} == {".png", ".svg"}
    assert {path.stem for path in written} == set(ALWAYS + TWO_DIMS)
    drawn = {path.name: path.read_bytes() for path in written if path.suffix == ".svg"}
    for content in drawn.values():
        assert ElementTree.fromstring(content).tag.endswith("svg")
    write_pictures(asked, dataset)
    again = {path.name: path.read_bytes() for path in written if path.suffix == ".svg"}
    assert again == drawn, "byte for byte"
    best = result.trials[0]
    (execution_folder(tmp_path, best.trial_id, 1) / "outcome.safetensors").unlink()
    assert [path.name for path in write_pictures(result, dataset)] == ["loss_curves.png"]
    assert not list((tmp_path / "report").glob("*.svg"))


@pytest.mark.parametrize("metric", ["val_psnr", "fresh_val_loss"])
def test_any_objective_can_be_drawn(tmp_path: Path, metric: str) -> None:
    written = write_pictures(study(tmp_path, metric=metric), noise())
    assert {path.stem for path in written} == {"loss_curves", "learning_rates"}
    for path in written:
        assert_is_a_picture(path)


@pytest.mark.thorough
def test_there_may_be_fewer_validation_images_than_are_shown(tmp_path: Path) -> None:
    dataset, result = noise(n_val=3), study(tmp_path, n_trials=1)
    show(result, dataset)
    assert len(write_pictures(result, dataset)) == 9


@pytest.mark.thorough
def test_a_trial_with_latent_dims_of_its_own_is_drawn_by_them(tmp_path: Path) -> None:
    """The pictures follow the best trial, not the study's default."""
    dataset, result = noise(), study(tmp_path, n_trials=1, latent_dims=2)
    space = {"learning_rate": (0.1,), "latent_dims": (2, 3)}
    config = replace(result.config, search=SearchConfig(space))
    trial = replace(result.trials[0], values={"learning_rate": 0.1, "latent_dims": 3})
    result = replace(result, config=config, trials=(trial,))
    show(result, dataset, 3)
    assert {path.stem for path in write_pictures(result, dataset)} == {*ALWAYS, *MORE_DIMS}


@pytest.mark.thorough
def test_a_best_run_that_diverged_after_a_good_epoch_can_be_drawn(tmp_path: Path) -> None:
    dataset, result = noise(), study(tmp_path, n_trials=1)
    lost = np.full((N_TRAIN, 2), np.nan, np.float32)
    lost[0], lost[1] = np.inf, 1
    show(result, dataset, train_latents=lost, val_latents=lost[: len(dataset.val)])
    assert len(write_pictures(result, dataset)) == 8


def test_of_a_run_under_way_no_errors_are_drawn(tmp_path: Path) -> None:
    dataset, result = noise(), study(tmp_path, n_trials=1)
    show(result, dataset, val_loss=np.full(len(dataset.val), np.nan, np.float32))
    assert len(write_pictures(result, dataset)) == 7


def test_without_a_run_to_show_there_are_curves_only(tmp_path: Path) -> None:
    written = write_pictures(study(tmp_path), noise())
    assert {path.stem for path in written} == {"loss_curves", "learning_rates"}


def test_before_the_first_epoch_there_is_nothing_to_draw(tmp_path: Path) -> None:
    result = study(tmp_path)
    blank = Execution({name: np.zeros(0, np.float32) for name in METRICS}, "val_loss", "unfinished")
    trials = [replace(t, executions=(blank, blank), state="unfinished") for t in result.trials]
    assert write_pictures(replace(result, trials=tuple(trials)), noise()) == []
    assert write_pictures(replace(result, trials=()), noise()) == []
    assert list(tmp_path.iterdir()) == []


def test_trials_that_have_not_begun_are_left_out(tmp_path: Path) -> None:
    result = study(tmp_path, n_trials=2)
    blank = Execution({name: np.zeros(0, np.float32) for name in METRICS}, "val_loss", "unfinished")
    waiting = replace(result.trials[1], executions=(blank, blank), state="unfinished")
    written = write_pictures(replace(result, trials=(result.trials[0], waiting)), noise())
    assert [path.stem for path in written] == ["loss_curves"]


def test_pictures_are_written_over_older_ones(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "loss_curves.png").write_text("old")
    write_pictures(study(tmp_path, n_trials=1), noise())
    assert_is_a_picture(tmp_path / "report" / "loss_curves.png")


@pytest.mark.slow
def test_pictures_of_an_earlier_best_trial_do_not_stay(tmp_path: Path) -> None:
    """Once its latents had two dimensions and the rates were several; now neither."""
    dataset, report = noise(), tmp_path / "report"
    before = study(tmp_path)
    show(before, dataset)
    write_pictures(before, dataset)
    assert (report / "latent_space_val.png").exists()
    for name in ("mine.png", "latent_space_train_mine.png", "latent_space_val.txt"):
        (report / name).write_text("precious")
    after = study(tmp_path, n_trials=1, latent_dims=1)
    show(after, dataset, 1)
    written = write_pictures(after, dataset)
    others = {"mine.png", "latent_space_train_mine.png", "latent_space_val.txt"}
    assert {path.name for path in report.iterdir()} == {path.name for path in written} | others
    assert {path.stem for path in written} == set(ALWAYS)
    assert write_pictures(replace(after, trials=()), dataset) == []
    assert {path.name for path in report.iterdir()} == others


def test_a_picture_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "latent_space_val.png").write_text("old")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"latent_space_val\.png cannot be removed: Permission"):
        write_pictures(study(tmp_path), noise())


def test_a_name_that_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "report" / "loss_curves.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"loss_curves\.png cannot be written"):
        write_pictures(study(tmp_path), noise())
    assert [*tmp_path.rglob("*.tmp")] == []


@pytest.mark.thorough
def test_a_folder_whose_name_is_taken_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_pictures(study(tmp_path), noise())
    assert (tmp_path / "report").read_text() == "precious"
