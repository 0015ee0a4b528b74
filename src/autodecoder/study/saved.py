"""A study read from its folder: settings, trials, histories, and its models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodecoder.brief import brief
from autodecoder.config import StudyConfig, to_dict
from autodecoder.core.switches import own_switches
from autodecoder.data.columns import take_columns
from autodecoder.data.dataset import shown_rows
from autodecoder.data.names import FILE as NAMES
from autodecoder.data.names import read_names
from autodecoder.errors import DataError
from autodecoder.files import write_file
from autodecoder.measures.yardstick import Levels, Yardstick
from autodecoder.model import Model, load_model
from autodecoder.model.saving import holds_model
from autodecoder.paths import user_path
from autodecoder.study.checkpoint import Outcome, load_outcome
from autodecoder.study.folder import config_of, read_about
from autodecoder.study.models import shown_model
from autodecoder.study.records import execution_folder, read_trials
from autodecoder.study.results import COMPLETE, Trial, rank
from autodecoder.study.space import to_parameter
from autodecoder.study.yardstick import load_yardstick

if TYPE_CHECKING:
    import pandas as pd

#: Best trials whose numbers of principal components are drawn with learning curves.
_MOST_LEVELS = 3


@brief
@dataclass(frozen=True, eq=False)
class Study:
    """A study read from its folder: finished, interrupted or still running."""

    folder: Path
    config: StudyConfig
    about: Mapping[str, Any]
    """Content of `config.json`, which also has the study's name, versions, device and data."""
    trials: tuple[Trial, ...]
    """Complete trials first, best first; then unfinished, pruned and failed ones."""
    yardstick: Yardstick | None = None
    """Errors of the mean image and of principal components; `None` in earlier versions."""

    def latent_dims(self, trial: Trial) -> int:
        """The length of the latents of a trial."""
        return self.config.parts(trial.values)[0].latent_dims

    def errors_beside(self, trial: Trial) -> dict[str, float]:
        """Errors to compare those of a trial with: `mean_image`, and `components`, that of as many
        principal components as its latents have dimensions. Errors not measured are left out."""
        if self.yardstick is None:
            return {}
        dims = self.latent_dims(trial)
        of_components = self.yardstick.components.get(dims)
        found = {"mean_image": self.yardstick.mean_image, "components": of_components}
        return {name: error for name, error in found.items() if error is not None}

    @property
    def levels(self) -> dict[str, Levels]:
        """Errors to draw with the learning curves of each metric: of the mean image, and of as many
        principal components as the latents of the three best trials have dimensions."""
        if self.yardstick is None:
            return {}
        return self.yardstick.levels(map(self.latent_dims, self.trials[:_MOST_LEVELS]))

    @property
    def metric(self) -> str:
        """The metric that ranks the trials."""
        return self.config.metric

    @property
    def best_trial(self) -> Trial | None:
        """The complete trial with the best score; `None` if there is none."""
        if self.trials and self.trials[0].state == COMPLETE:
            return self.trials[0]
        return None

    @cached_property
    def histories(self) -> "pd.DataFrame":
        """All histories as a table, with a row for each epoch of each execution of each trial.

        The columns are `trial`, `execution`, the searched settings, `epoch`, and every metric.
        """
        import pandas as pd

        parts = []
        for trial in sorted(self.trials, key=lambda trial: trial.number):
            for k, execution in enumerate(trial.executions):
                values = {name: to_parameter(value) for name, value in trial.values.items()}
                frame = pd.DataFrame(execution.history)
                head = {"trial": trial.trial_id, "execution": k, **values}
                for place, (name, value) in enumerate(head.items()):
                    frame.insert(place, name, value)
                frame.insert(len(head), "epoch", np.arange(1, len(frame) + 1))
                if len(frame):
                    parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def shown_run(self) -> tuple[Trial, int, Outcome] | None:
        """The run that pictures show, with its data: the best execution of the best trial, or the
        best one so far if no trial is complete; `None` if none is kept.

        Raises
        ------
        DataError
            If one cannot be read, but may be intact.
        """
        for trial in self.trials:
            for k in range(len(trial.executions)):
                outcome = load_outcome(execution_folder(self.folder, trial.trial_id, k))
                if outcome is not None and outcome.shown is not None:
                    return trial, k, outcome
        return None

    def best_model(self) -> Model | None:
        """The model in `best`, of the objective's best epoch; without it, `shown_model`.

        Raises
        ------
        DataError
            If its files are damaged.
        """
        best = self.folder / "best"
        return load_model(best) if holds_model(best) else self.shown_model()

    @own_switches()
    def shown_model(self) -> Model | None:
        """The model of the run that pictures show, after its last epoch; `None` if none is kept.

        Its validation latents are fresh, or co-trained if the run has not ended. It has at most
        100,000 training latents, spread evenly; the model in `best` has all.

        Raises
        ------
        DataError
            If the files of the run are damaged.
        """
        found = self.shown_run()
        if found is None:
            return None
        trial, k, outcome = found
        try:
            height, width, channels = self.about["image_shape"]
            model = shown_model(
                outcome,
                self.config.parts(trial.values)[0],
                self.config,
                (height, width, channels),
                {
                    "dataset": self.config.data.dataset,
                    "class_names": self.about["class_names"],
                    "trial": trial.trial_id,
                    "execution": k,
                    "epoch": len(outcome.history["loss"]),
                    "values": {n: to_parameter(value) for n, value in trial.values.items()},
                    "settings": to_dict(self.config),
                    "data_fingerprint": self.about["data_fingerprint"],
                    **({} if self.yardstick is None else {"yardstick": self.yardstick.to_dict()}),
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            folder = execution_folder(self.folder, trial.trial_id, k)
            raise DataError(f"the outcome in {folder} is damaged: {error}.") from error
        if (self.folder / NAMES).exists():  # studies of arrays and of earlier versions lack it
            train, val = read_names(self.folder / NAMES, self.about["n_train"], self.about["n_val"])
            names, columns = train.names, train.columns
            rows = shown_rows(self.about["n_train"])
            if rows is not None:
                names = None if names is None else names[rows]
                columns = take_columns(columns, rows)
            model = replace(
                model,
                names=names,
                val_names=val.names,
                columns=columns,
                val_columns=val.columns,
            )
        return model


def load_study(folder: Path | str) -> Study:
    """Read a study from its folder.

    Raises
    ------
    DataError
        If the folder holds no study, a study of a newer version, or a damaged one.
    """
    folder = user_path(folder, "folder")
    about = read_about(folder)
    if about is None:
        raise DataError(f"{folder} holds no study (it has no config.json).")
    config = config_of(about, folder)
    trials = rank(read_trials(folder, config), config.metric)
    return Study(folder, config, about, trials, load_yardstick(folder))


def write_histories(study: Study) -> None:
    """Write `histories.csv`, the tidy table of all histories."""
    write_file(study.folder / "histories.csv", study.histories.to_csv(index=False).encode())
