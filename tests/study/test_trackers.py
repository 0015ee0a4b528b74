"""Studies logged to MLflow and Weights & Biases, cut off and gone on with, and read back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.study.builders import CONFIG, EPOCHS, FRAIL, searching, stop_when
from tests.study.wandb_files import read_runs

from autodecoder.config import LogConfig, StudyConfig
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError
from autodecoder.study import Observer, RunInfo, Study, run_study

KEEPING = replace(CONFIG, log=LogConfig(checkpoint_every=5, save_best_model=True))
#: Two runs instead of four.
FEW = replace(KEEPING, executions_per_trial=1)
#: One trial that diverges.
DIVERGING = replace(searching(FRAIL, 1e30), executions_per_trial=1)

needs_mlflow = pytest.mark.skipif(
    find_spec("mlflow") is None,
    reason="MLflow is not installed (pip install 'autodecoder[mlflow]')",
)
needs_wandb = pytest.mark.skipif(
    find_spec("wandb") is None,
    reason="Weights & Biases is not installed (pip install 'autodecoder[wandb]')",
)
# MLflow's tables use what SQLAlchemy 2.1 no longer recommends.
quiet_mlflow = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


class Killer(Observer):
    """Ends the process, as far as the study knows, when a run has recorded its sixth epoch."""

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, np.ndarray]) -> None:
        if epoch == 6:
            raise KeyboardInterrupt


def run_in_pieces(
    folder: Path, dataset: Dataset, make: Callable[[], Observer], config: StudyConfig = KEEPING
) -> Study:
    """A study that is killed after epochs that no checkpoint has, goes on without being watched,
    and is watched again."""
    with pytest.raises(KeyboardInterrupt):
        run_study(config, dataset, folder, observers=[make(), Killer()])
    run_study(config, dataset, folder, **stop_when(lambda report: report.epoch >= 10))
    stop = stop_when(lambda report: report.epoch >= 15)
    part = run_study(config, dataset, folder, observers=[make()], **stop)
    assert {execution.epochs for trial in part.trials for execution in trial.executions} == {15}
    return run_study(config, dataset, folder, observers=[make()])


def assert_logged_once(
    logged: Mapping[str, list[tuple[int, float]]], history: Mapping[str, np.ndarray]
) -> None:
    """Every epoch of every metric, and nothing twice."""
    for name, values in history.items():
        if name.startswith("fresh_"):
            assert logged[name] == [(EPOCHS, values[-1])]
        else:
            assert [step for step, _ in logged[name]] == list(range(1, EPOCHS + 1)), name
            np.testing.assert_array_equal([v for _, v in logged[name]], values.astype(float))


# MLflow


@pytest.fixture
def mlflow_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where MLflow writes, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return tmp_path


@pytest.fixture
def mlflow_client(mlflow_folder: Path) -> Any:
    """A client of a database in that folder."""
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]

    return MlflowClient(f"sqlite:///{mlflow_folder}/mlflow.db")


@needs_mlflow
@quiet_mlflow
def test_mlflow_has_every_epoch_once(digits: Dataset, tmp_path: Path, mlflow_client: Any) -> None:
    from autodecoder.report.mlflow import MLflowLogger

    study = run_in_pieces(
        tmp_path / "study", digits, lambda: MLflowLogger(f"sqlite:///{tmp_path}/mlflow.db")
    )
    experiment = mlflow_client.get_experiment_by_name(study.about["study"])
    runs = mlflow_client.search_runs([experiment.experiment_id])
    assert len(runs) == 4
    by_name = {run.info.run_name: run for run in runs}
    for trial in study.trials:
        for k, execution in enumerate(trial.executions):
            run = by_name[f"lr={trial.learning_rate:g}/execution-{k}"]
            logged = {
                name: [
                    (m.step, m.value)
                    for m in mlflow_client.get_metric_history(run.info.run_id, name)
                ]
                for name in execution.history
            }
            assert_logged_once(logged, execution.history)
            assert run.info.status == "FINISHED"
            assert run.data.metrics["best_val_loss"] == execution.best
            assert run.data.tags["trial"] == trial.trial_id
            assert run.data.params["learning_rate"] == str(trial.learning_rate)
            assert run.data.params["fit.num_epochs"] == str(EPOCHS)
            assert run.data.params["execution"] == str(k)
    best = study.best_trial
    assert best is not None
    name = f"lr={best.learning_rate:g}/execution-{best.best_execution}"
    kept = mlflow_client.list_artifacts(by_name[name].info.run_id, "model")
    assert {"model/config.json", "model/decoder.safetensors"} <= {file.path for file in kept}


@pytest.mark.thorough
@needs_mlflow
@quiet_mlflow
def test_mlflow_says_that_a_run_failed(
    digits: Dataset, tmp_path: Path, mlflow_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodecoder.report.mlflow import MLflowLogger

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    logger = MLflowLogger(f"sqlite:///{tmp_path}/mlflow.db")
    run_study(DIVERGING, digits, tmp_path / "study", observers=[logger])
    experiment = mlflow_client.get_experiment_by_name("mine")
    (run,) = mlflow_client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["ended"] == "diverged"


@needs_mlflow
@pytest.mark.usefixtures("mlflow_folder")
@quiet_mlflow
def test_a_tracking_uri_that_does_not_answer_is_told_at_once() -> None:
    from autodecoder.report.mlflow import MLflowLogger

    wrong = "nosuch://user:hunter2@place"
    with pytest.raises(ConfigError, match="mlflow must be a tracking URI that answers") as info:
        MLflowLogger(wrong)
    assert f"got {wrong.replace('hunter2', '***')}: " in str(info.value)
    assert "hunter2" not in str(info.value)


# Weights & Biases


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where Weights & Biases writes, offline."""
    for name, value in offline_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def offline_environment(folder: Path) -> dict[str, str]:
    places = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HOME")
    return {"WANDB_MODE": "offline", **dict.fromkeys(places, str(folder))}


@needs_wandb
def test_weights_and_biases_have_every_epoch_once(
    digits: Dataset, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodecoder.report.wandb import WandbLogger

    secret = "s3cret-of-a-database"
    url = f"postgresql://me:{secret}@host/trials"
    monkeypatch.setattr("sys.argv", ["autodecoder", "tune", "--storage", url])
    study = run_in_pieces(offline / "study", digits, lambda: WandbLogger("mine"), FEW)
    runs = {run.name: run for run in read_runs(offline).values()}
    assert len(runs) == 2
    for trial in study.trials:
        for k, execution in enumerate(trial.executions):
            run = runs[f"lr={trial.learning_rate:g}/execution-{k}"]
            assert (run.group, run.project) == (study.about["study"], "mine")
            logged = {
                name: [(row["_step"], row[name]) for row in run.rows if name in row]
                for name in execution.history
            }
            assert_logged_once(logged, execution.history)
            assert run.summary["best_val_loss"] == execution.best
            assert run.summary["ended"] == "finished"
            assert run.config["learning_rate"] == trial.learning_rate
            assert run.config["fit.num_epochs"] == EPOCHS
            assert run.exit_codes[-1] == 0
    best = study.best_trial
    assert best is not None
    name = f"lr={best.learning_rate:g}/execution-{best.best_execution}"
    assert "model" in runs[name].artifacts
    written = [path for path in offline.rglob("*") if path.is_file()]
    assert written
    assert all(secret.encode() not in path.read_bytes() for path in written)


@needs_wandb
def test_without_a_key_weights_and_biases_go_offline_which_is_said(
    offline: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import wandb  # pyright: ignore[reportMissingImports]

    from autodecoder.report.wandb import WandbLogger

    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()  # it keeps the environment of its first use
    try:
        one = WandbLogger("mine")
        run = one._wandb.init(project="mine", mode=one._mode)
        assert run.settings.mode == "offline"
        run.finish()
    finally:
        wandb.teardown()
    said = "Weights & Biases has no API key here, so runs are logged offline"
    out, err = capfd.readouterr()
    assert (caplog.text + err).count(said) == 1
    assert out == ""
