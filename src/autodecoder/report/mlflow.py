"""Logging to MLflow: parameters, metrics of every epoch, and the best model (extra `mlflow`)."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from autodecoder.errors import ConfigError
from autodecoder.quiet import quiet
from autodecoder.report.trackers import EPOCHS, FRESH, Key, Logged, Tracker
from autodecoder.study import RunInfo
from autodecoder.study.database import secrets_of
from autodecoder.study.results import DIVERGED, Execution

#: Most metrics and parameters that a server accepts in one request.
_MOST_METRICS, _MOST_PARAMETERS = 1000, 100
#: Tag by which a run is found again.
_TAG = "autodecoder.run"
#: Number of times that MLflow repeats a failed request. Its default, 7, delays a study by minutes.
_RETRIES = "3"


class MLflowError(Exception):
    """An error of MLflow, its database or the network, without the secrets of the tracking URI."""


class MLflowLogger(Tracker):
    """An observer that logs every execution as a run of MLflow.

    The experiment has the name of the study, or the value of `MLFLOW_EXPERIMENT_NAME`. With
    `save_best_model`, the model of each trial that is the best so far is logged as an artifact.

    Parameters
    ----------
    uri : str, optional
        Tracking URI, for example `http://localhost:5000` or `sqlite:///mlflow.db`; by default the
        one that MLflow is configured for (`MLFLOW_TRACKING_URI`).

    Raises
    ------
    ConfigError
        If MLflow is not installed, or nothing answers at the URI.
    """

    def __init__(self, uri: str | None = None) -> None:
        super().__init__()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
        try:
            import mlflow  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ConfigError(
                "MLflow is not installed; pip install 'autodecoder[mlflow]' brings it."
            ) from None
        uri = uri or mlflow.get_tracking_uri()
        try:
            with quiet(logging.getLogger("mlflow"), logging.WARNING), _discreet(uri):
                self._client: Any = _Client(mlflow.MlflowClient(tracking_uri=uri), uri)
                self._client.search_experiments(max_results=1)
        except MLflowError as error:
            raise ConfigError(
                f"mlflow must be a tracking URI that answers, got {_hide(uri, uri)}: {error}"
            ) from None
        self._experiments: dict[str, str] = {}
        self._runs: dict[str, str] = {}
        """Ids of MLflow's runs, by the texts of keys."""

    def _open(self, run: RunInfo) -> Logged:
        key = Key.of(run)
        found = self._find(key)
        if found is not None:
            self._client.update_run(found, status="RUNNING")
            last = {EPOCHS: "loss", FRESH: "fresh_val_loss"}
            steps = {
                kind: [metric.step for metric in self._client.get_metric_history(found, name)]
                for kind, name in last.items()
            }
            return {kind: max(known, default=0) for kind, known in steps.items()}
        from mlflow.entities import Param  # pyright: ignore[reportMissingImports]

        created = self._client.create_run(
            self._experiment(run.study),
            run_name=self._name(run),
            tags={_TAG: key.text, "study": run.study, "trial": run.trial_id},
        )
        self._runs[key.text] = created.info.run_id
        settings = [Param(name, str(value)) for name, value in self._settings(run).items()]
        for first in range(0, len(settings), _MOST_PARAMETERS):
            some = settings[first : first + _MOST_PARAMETERS]
            self._client.log_batch(created.info.run_id, params=some)
        return {EPOCHS: 0, FRESH: 0}

    def _log(self, run: RunInfo, kind: str, rows: Mapping[int, Mapping[str, float]]) -> None:
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = int(1000 * time.time())
        metrics = [
            Metric(name, value, now, epoch)
            for epoch, row in rows.items()
            for name, value in row.items()
        ]
        for first in range(0, len(metrics), _MOST_METRICS):
            some = metrics[first : first + _MOST_METRICS]
            self._client.log_batch(self._runs[Key.of(run).text], metrics=some)

    def _close(self, run: RunInfo, execution: Execution | None, results: Mapping[str, Any]) -> None:
        status, found = "KILLED", self._runs[Key.of(run).text]
        if execution is not None:
            status = "FAILED" if execution.status == DIVERGED else "FINISHED"
        for name, value in results.items():
            if isinstance(value, float):
                self._client.log_metric(found, name, value)
            else:
                self._client.set_tag(found, name, value)
        self._client.set_terminated(found, status=status)

    def _keep_model(self, run: Key, folder: Path) -> None:
        found = self._find(run)
        if found is not None:
            self._client.log_artifacts(found, str(folder), "model")

    def _find(self, key: Key) -> str | None:
        """The MLflow id of a run, which an earlier process may have started; `None` if unknown."""
        if key.text not in self._runs:
            query = f"tags.`{_TAG}` = '{key.text}'"
            runs = self._client.search_runs([self._experiment(key.study)], query, max_results=1)
            if not runs:
                return None
            self._runs[key.text] = runs[0].info.run_id
        return self._runs[key.text]

    def _experiment(self, study: str) -> str:
        """The id of the experiment of a study."""
        if study not in self._experiments:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or study
            found = self._client.get_experiment_by_name(name)
            self._experiments[study] = (
                self._client.create_experiment(name) if found is None else found.experiment_id
            )
        return self._experiments[study]


class _Client:
    """A client of MLflow that raises `MLflowError` only."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _discreet(self._uri)(getattr(self._client, name))


@contextlib.contextmanager
def _discreet(uri: str) -> Iterator[None]:
    """Convert errors to `MLflowError`; its chain does not show the error that names secrets."""
    try:
        yield
    except Exception as error:
        raise MLflowError(_hide(" ".join(str(error).split()), uri)) from None


def _hide(text: str, uri: str) -> str:
    """A text without the secrets of a URI, however they are quoted."""
    secrets = secrets_of(uri)
    with contextlib.suppress(ValueError):  # not a valid URI
        secrets.add(urlsplit(uri).password or "")
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}:
            text = text.replace(form, "***")
    return text
