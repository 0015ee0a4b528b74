"""Which pictures a study gets; that each is a picture; and that a failure leaves no half of one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autodecoder.config import METRICS, DecoderConfig, StudyConfig
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.report import write_pictures
from autodecoder.study import Execution, StudyResult, Trial
from autodecoder.study.results import BestRun, rank

ALWAYS = ("loss_curves", "reconstructions_train", "reconstructions_val")
SEVERAL_TRIALS = ("learning_rates",)
TWO_DIMS = ("latent_space_train", "latent_space_val")


def image_set(rng: np.random.Generator, n: int, channels: int) -> ImageSet:
    images = rng.integers(256, size=(n, 4, 5, channels), dtype=np.uint8)
    return ImageSet(images, np.arange(n) % 3)


def study(
    *,
    n_trials: int = 2,
    latent_dims: int = 2,
    channels: int = 1,
    metric: str = "val_loss",
    n_val: int = 25,
) -> StudyResult:
    """A study as `run_study` returns it, of random numbers."""
    rng = np.random.default_rng(0)
    rates = tuple(10.0 ** -(k + 1) for k in range(n_trials))
    config = StudyConfig(
        decoder=DecoderConfig(latent_dims=latent_dims),
        learning_rates=rates,
        executions_per_trial=2,
        objective=metric,
    )
    dataset = Dataset(
        "noise", image_set(rng, 30, channels), image_set(rng, n_val, channels), ("a", "b", "c")
    )

    def execution() -> Execution:
        return Execution({name: rng.random(5, np.float32) for name in METRICS}, metric, 5)

    trials = [Trial(f"lr-{rate:g}", rate, (execution(), execution())) for rate in rates]
    best_run = BestRun(
        trials[0].trial_id,
        0,
        rng.normal(size=(30, latent_dims)),
        rng.normal(size=(n_val, latent_dims)),
        "fresh",
        np.arange(20),
        rng.integers(256, size=(20, dataset.n_pixels), dtype=np.uint8),
        np.arange(min(n_val, 20)),
        rng.integers(256, size=(min(n_val, 20), dataset.n_pixels), dtype=np.uint8),
    )
    ranked = rank(trials, metric)
    return StudyResult(config, dataset, metric, ranked, best_run, {}, interrupted=False)


def assert_is_a_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 200
        assert np.asarray(image.convert("L")).std() > 0, "blank"


@pytest.mark.parametrize(
    ("n_trials", "latent_dims", "channels", "names"),
    [
        (2, 2, 3, ALWAYS + SEVERAL_TRIALS + TWO_DIMS),
        (1, 2, 1, ALWAYS + TWO_DIMS),
        (2, 3, 1, ALWAYS + SEVERAL_TRIALS),
        (1, 3, 3, ALWAYS),
    ],
)
def test_a_study_gets_its_pictures(
    tmp_path: Path, n_trials: int, latent_dims: int, channels: int, names: tuple[str, ...]
) -> None:
    folder = tmp_path / "pictures"
    result = study(n_trials=n_trials, latent_dims=latent_dims, channels=channels)
    paths = write_pictures(result, folder)
    assert {path.name for path in paths} == {f"{name}.png" for name in names}
    assert sorted(folder.iterdir()) == sorted(paths), "nothing else, no temporary file"
    for path in paths:
        assert_is_a_picture(path)


@pytest.mark.parametrize("metric", ["val_psnr", "fresh_val_loss"])
def test_any_objective_can_be_drawn(tmp_path: Path, metric: str) -> None:
    assert len(write_pictures(study(latent_dims=3, metric=metric, n_val=3), tmp_path)) == 4


def test_a_best_run_that_diverged_after_a_good_epoch_can_be_drawn(tmp_path: Path) -> None:
    result = study(n_trials=1)
    assert result.best_run is not None
    lost = np.full_like(result.best_run.train_latents, np.nan)
    lost[0], lost[1] = np.inf, 1
    best_run = replace(result.best_run, train_latents=lost, val_latents=lost[2:27])
    assert len(write_pictures(replace(result, best_run=best_run), tmp_path)) >= 3


def test_without_a_best_run_there_are_curves_only(tmp_path: Path) -> None:
    written = write_pictures(replace(study(), best_run=None), tmp_path)
    assert {path.stem for path in written} == {"loss_curves", "learning_rates"}


def test_pictures_are_written_over_older_ones(tmp_path: Path) -> None:
    (tmp_path / "loss_curves.png").write_text("old")
    write_pictures(study(n_trials=1, latent_dims=3), tmp_path)
    assert_is_a_picture(tmp_path / "loss_curves.png")


def test_a_name_that_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "loss_curves.png").mkdir()
    with pytest.raises(OutputError, match=r"loss_curves\.png cannot be written"):
        write_pictures(study(), tmp_path)
    assert [*tmp_path.rglob("*.tmp")] == []


def test_a_folder_whose_name_is_taken_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_pictures(study(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
