"""Logging to Weights & Biases: settings, metrics of every epoch, best model (extra `wandb`)."""

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodecoder.config import METRICS
from autodecoder.errors import ConfigError
from autodecoder.report.trackers import EPOCHS, FRESH, Key, Logged, Tracker
from autodecoder.study import RunInfo
from autodecoder.study.results import DIVERGED, Execution

_log = logging.getLogger(__name__)

#: File in the folder of an execution that records the logged epochs, one line per call: offline,
#: Weights & Biases cannot be asked.
_NOTE = "wandb.jsonl"


class WandbLogger(Tracker):
    """An observer that logs every execution as a run of Weights & Biases, grouped by study.

    Without an API key, runs are logged offline, with a warning; `wandb sync` sends them later. With
    `save_best_model`, the model of each trial that is the best so far is logged as an artifact.

    Parameters
    ----------
    project : str
        Name of the project. `WANDB_ENTITY`, `WANDB_MODE`, `WANDB_DIR` and the other variables of
        Weights & Biases apply.

    Raises
    ------
    ConfigError
        If the package `wandb` is not installed.
    """

    def __init__(self, project: str) -> None:
        super().__init__()
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ConfigError(
                "Weights & Biases is not installed; pip install 'autodecoder[wandb]' brings it."
            ) from None
        self._wandb: Any = wandb
        self._project = project
        self._runs: dict[Path, Any] = {}
        """Open runs of Weights & Biases, by the folders of executions."""
        self._mode: str | None = None
        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False, verify=False):
            self._mode = "offline"
            _log.warning(
                "Weights & Biases has no API key here, so runs are logged offline; log in by "
                "`wandb login`, and send the runs by `wandb sync`"
            )

    def _open(self, run: RunInfo) -> Logged:
        if run.folder not in self._runs:
            key, about = Key.of(run), {"name": self._name(run), "config": self._settings(run)}
            self._runs[run.folder] = opened = self._init(key, **about)
            for metric, direction in METRICS.items():
                opened.define_metric(metric, summary=f"{direction},last")
        return self._read_note(run.folder)

    def _log(self, run: RunInfo, kind: str, rows: Mapping[int, Mapping[str, float]]) -> None:
        opened = self._runs[run.folder]
        for epoch, row in rows.items():
            opened.log(dict(row), step=epoch)
        if not opened.disabled:
            note = {"project": self._project, kind: max(rows)}
            run.folder.mkdir(parents=True, exist_ok=True)
            with (run.folder / _NOTE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")

    def _close(self, run: RunInfo, execution: Execution | None, results: Mapping[str, Any]) -> None:
        opened = self._runs.pop(run.folder)
        opened.summary.update(results)
        failed = execution is not None and execution.status == DIVERGED
        opened.finish(exit_code=int(failed))

    def _keep_model(self, run: Key, folder: Path) -> None:
        if not any(self._read_note(run.folder).values()):
            return  # the run ended before logging began
        study = run.text.partition("-")[0]
        artifact = self._wandb.Artifact(f"model-{study}", type="model")
        for path in sorted(folder.iterdir()):  # adding a whole folder prints a message
            artifact.add_file(str(path))
        opened = self._init(run)
        opened.log_artifact(artifact)
        opened.finish()

    def _init(self, key: Key, **about: Any) -> Any:
        return self._wandb.init(
            project=self._project,
            group=key.study,
            id=key.text,
            resume="allow",
            reinit="create_new",
            mode=self._mode,
            # Its metadata has the command line, which may have the password of a database.
            settings=self._wandb.Settings(silent=True, console="off", x_disable_meta=True),
            **about,
        )

    def _read_note(self, folder: Path) -> Logged:
        logged = {EPOCHS: 0, FRESH: 0}
        with contextlib.suppress(FileNotFoundError):
            for line in (folder / _NOTE).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line that was cut off
                    note = json.loads(line)
                    if note.pop("project") == self._project:
                        logged |= note
        return logged
