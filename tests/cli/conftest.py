"""Fixtures of the command line's tests: no pictures, and studies to look at."""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.annotations import unchecked
from tests.cli.builders import QUICK, train, without_pictures

import autodecoder as ad


@pytest.fixture(scope="module", autouse=True)
def _as_users_run() -> Iterator[None]:
    """The floors below have their annotations checked in tests of their own."""
    with unchecked():
        yield


@pytest.fixture
def no_pictures() -> Iterator[None]:
    """Pictures take longer than the training here, and have tests of their own."""
    with without_pictures():
        yield


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two models, of a few epochs each: `digits`, with its validation images beside it
    as `images.npy`, and `features`, with its table as `table.npy`."""
    folder = tmp_path_factory.mktemp("models")
    digits = ad.load_dataset("digits", examples_frac=0.1)
    images = digits.val.images[:6]
    quick = ad.fit_config("fast", num_epochs=3)
    config = ad.DecoderConfig(arch=(16,), batch_norm=True)
    model = ad.fit_model(
        digits.train.images, decoder=config, fit=quick, learning_rate=1e-2, val_images=images
    )
    ad.save_model(model, folder / "digits")
    np.save(folder / "images.npy", images)
    table = np.random.default_rng(0).normal(7, [1, 2, 3, 4, 5], size=(40, 5))
    config = ad.DecoderConfig(arch=(16,), latent_dims=3, batch_norm=True)
    model = ad.fit_model(table, decoder=config, fit=quick, learning_rate=1e-2, scaler="standardize")
    ad.save_model(model, folder / "features")
    np.save(folder / "table.npy", table)
    return folder


@pytest.fixture(scope="package")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The default search, cut down; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("grid") / "study"
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.MonkeyPatch.context() as patch:
        patch.setattr("autodecoder.cli.progress.SECONDS_TO_FIRST_LINE", 30.0)
        assert train(*QUICK, "--seed=1", "--nosave_best_model", "--out", folder) == 0
    return folder, out.getvalue()


@pytest.fixture(scope="package")
def runs(grid: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two studies: one of a trial of two executions, and one that is made of the grid.

    The latter has another objective, and the settings beside it, as if it had been searched so.
    """
    folder = tmp_path_factory.mktemp("several") / "runs"
    two = ("--lr=1e-2", "--executions_per_trial=2", "--seed=1", f"--out={folder / 'two'}")
    with without_pictures():
        assert train(*QUICK[:-1], *two) == 0
    tuned = folder / "tuned"
    shutil.copytree(grid[0], tuned)
    about = json.loads((tuned / "config.json").read_text())
    about["settings"] |= {"objective": "psnr", "seed": 2}
    about["settings"]["decoder"]["batch_norm"] = True
    about["settings"]["search"]["space"] |= {"arch": [[16], [8, 8]]}
    (tuned / "config.json").write_text(json.dumps(about))
    for k, path in enumerate(sorted(tuned.glob("trials/*/trial.json"))):
        content = json.loads(path.read_text())
        content["values"]["arch"] = ("16", "8-8")[k % 2]
        path.write_text(json.dumps(content))
    return folder
