"""The files of a study: exact, strict, whole or absent, and never over another study's."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from autodecoder.config import METRICS, DataConfig, DecoderConfig, StudyConfig, to_dict
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.study import Execution, StudyResult, Trial, create_folder, write_study
from autodecoder.study.results import rank

CONFIG = StudyConfig(
    data=DataConfig(data_dir=Path("some/where")),
    decoder=DecoderConfig(arch=(16, 8)),
    learning_rates=(1e-3, 1e-2),
    executions_per_trial=2,
    seed=7,
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    images = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3, 1)
    labels = np.arange(6) % 2
    return Dataset(
        "dots", ImageSet(images, labels), ImageSet(images[:2], labels[:2]), ("even", "odd")
    )


def execution(*objective: float, seed: int = 0, num_epochs: int | None = None) -> Execution:
    """Random numbers of all magnitudes; fresh values in the last epoch alone."""
    rng = np.random.default_rng(seed)
    n = len(objective)
    history = {name: np.exp(rng.normal(0, 20, n)).astype(np.float32) for name in METRICS}
    for name in METRICS:
        if name.startswith("fresh_"):
            history[name][:-1] = np.nan
    history["val_loss"] = np.array(objective, np.float32)
    return Execution(history, "val_loss", n if num_epochs is None else num_epochs)


@pytest.fixture
def result(dataset: Dataset) -> StudyResult:
    """A good trial, given last; and one of which one execution diverged and one has no score."""
    wild = execution(0.5, math.nan, math.inf)
    wild.history["loss"][1:] = np.nan, np.inf
    trials = [
        Trial("lr-0.001", 1e-3, (wild, execution(math.nan))),
        Trial("lr-0.01", 1e-2, (execution(3, 1, 2, seed=1), execution(6, 5, 4, seed=2))),
    ]
    seconds = {"compile": 1.23456, "fit": 2.0, "fresh_validation": 0.0}
    ranked = rank(trials, "val_loss")
    return StudyResult(CONFIG, dataset, "val_loss", ranked, None, seconds, interrupted=True)


def strictly(text: str):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def leftovers(folder: Path) -> list[Path]:
    return [*folder.rglob("*.tmp")]


def read_history(folder: Path, trial_id: str, k: int) -> tuple[list[str], list[list[str]]]:
    path = folder / "trials" / trial_id / f"execution-{k}" / "history.csv"
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


# config.json


def test_the_configuration_repeats_everything(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "study"
    create_folder(folder, CONFIG, dataset)
    config = strictly((folder / "config.json").read_text(encoding="utf-8"))
    assert config.items() >= to_dict(CONFIG).items()
    assert config["seed"] == 7
    assert config["decoder"]["arch"] == [16, 8]
    assert config["data"]["data_dir"] == str(Path("some/where"))
    assert config["schema"] == 1
    assert config["data_fingerprint"] == dataset.fingerprint
    assert (config["n_train"], config["n_val"]) == (6, 2)
    assert config["image_shape"] == [2, 3, 1]
    assert set(config["versions"]) == {"autodecoder", "python", "jax", "jaxlib", "numpy", "optax"}
    assert all(config["versions"].values())
    assert config["device"]
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_an_empty_folder_may_exist_already(dataset: Dataset, tmp_path: Path) -> None:
    create_folder(tmp_path, CONFIG, dataset)
    assert (tmp_path / "config.json").is_file()


def test_a_folder_with_something_in_it_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="new or an empty folder"):
        create_folder(tmp_path, CONFIG, dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_study_is_not_written_over_another(dataset: Dataset, tmp_path: Path) -> None:
    create_folder(tmp_path, CONFIG, dataset)
    with pytest.raises(OutputError, match="new or an empty folder"):
        create_folder(tmp_path, CONFIG, dataset)


@pytest.mark.parametrize("below", [".", "study"])
def test_a_file_is_no_folder(dataset: Dataset, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(OutputError, match="out must be a folder"):
        create_folder(file / below, CONFIG, dataset)
    assert file.read_text() == "precious"


# history.csv


def test_a_history_reads_back_to_the_same_numbers(result: StudyResult, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    for trial in result.trials:
        for k, execution in enumerate(trial.executions):
            header, rows = read_history(tmp_path, trial.trial_id, k)
            assert header == ["epoch", *METRICS]
            assert [row[0] for row in rows] == [str(i + 1) for i in range(execution.epochs)]
            for column, name in enumerate(METRICS, start=1):
                read = [np.float32(row[column] or "nan") for row in rows]
                np.testing.assert_array_equal(
                    np.array(read, np.float32), execution.history[name], strict=True
                )


def test_what_was_not_measured_is_blank(result: StudyResult, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    header, rows = read_history(tmp_path, "lr-0.01", 0)
    fresh = header.index("fresh_val_loss")
    assert [row[fresh] == "" for row in rows] == [True, True, False]
    assert all(text == "" or math.isfinite(float(text)) for row in rows for text in row)


# summary.json


def test_the_summary_is_strict_json_best_first(result: StudyResult, tmp_path: Path) -> None:
    write_study(result, tmp_path)
    summary = strictly((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["objective"] == "val_loss"
    assert summary["interrupted"] is True
    assert summary["best_trial"] is None, "without a best run"
    assert summary["seconds"] == {"compile": 1.235, "fit": 2.0, "fresh_validation": 0.0}
    good, wild = summary["trials"]
    assert (good["id"], good["learning_rate"]) == ("lr-0.01", 1e-2)
    assert (good["score"], good["spread"]) == (2.5, 1.5)
    assert [(e["best"], e["best_epoch"]) for e in good["executions"]] == [(1, 2), (4, 3)]
    assert {e["status"] for e in good["executions"]} == {"finished"}
    assert good["executions"][0]["last"]["val_loss"] == 2
    assert (wild["score"], wild["spread"]) == (None, None)
    diverged, hopeless = wild["executions"]
    assert (diverged["status"], diverged["best"], diverged["best_epoch"]) == ("diverged", 0.5, 1)
    assert (diverged["epochs"], diverged["last"]["loss"]) == (3, None)
    assert (hopeless["status"], hopeless["best"], hopeless["best_epoch"]) == (
        "diverged",
        None,
        None,
    )


def test_nothing_temporary_stays(result: StudyResult, dataset: Dataset, tmp_path: Path) -> None:
    create_folder(tmp_path, CONFIG, dataset)
    write_study(result, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2 + 4
    assert leftovers(tmp_path) == []


# Where nothing can be written


def test_a_name_that_is_taken_by_a_folder(result: StudyResult, tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    with pytest.raises(OutputError, match=r"summary\.json cannot be written"):
        write_study(result, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_folder_whose_name_is_taken_by_a_file(result: StudyResult, tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_study(result, tmp_path)
    assert (tmp_path / "trials").read_text() == "precious"
