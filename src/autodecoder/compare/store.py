"""The folder of a comparison, in which it goes on after an interruption."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.compare.result import Score
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import read_json, write_json
from autodecoder.model import Model, load_model, save_model
from autodecoder.tensors import read_tensors, write_tensors

_log = logging.getLogger(__name__)
_SETTINGS = "comparison.json"
_ARRAYS = ("errors", "losses")
#: Settings that must be the same to go on, in words.
_FIXED = {
    "fingerprint": "data set",
    "decoder": "decoder",
    "scaler": "scaler",
    "seconds": "budget",
}


class Store:
    """Keeps scores and models; without a folder it keeps nothing.

    Raises
    ------
    ConfigError
        If the folder holds a comparison of other images, with another decoder or budget, or with
        other settings of a method. Further methods, rates and seeds are fine.
    OutputError
        If it cannot be written.
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self.epochs: dict[str, int] = {}
        """Epochs of each method, if they were found from a budget of seconds."""
        self._models: dict[str, list[float]] = {}
        """Rate and seed of the model that is kept of each row."""
        self._settings = settings
        if folder is None:
            return
        path = folder / _SETTINGS
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; a comparison needs a folder.")
        if folder.exists() and not path.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} holds other files: choose another folder.")
        if path.exists():
            known = read_json(path)
            differing = _differing(known.get("settings"), settings)
            if differing is not None:
                raise ConfigError(
                    f"{folder} holds a comparison with another {differing}: choose another folder."
                )
            methods = {**known["settings"]["methods"], **settings["methods"]}
            self._settings = {**settings, "methods": methods}
            epochs = known.get("epochs")
            if isinstance(epochs, dict) and all(type(n) is int for n in epochs.values()):
                self.epochs = dict(epochs)
            models = known.get("models")
            self._models = dict(models) if isinstance(models, dict) else {}
        self._write()

    def keep_epochs(self, kind: str, epochs: int) -> None:
        """Keep the number of epochs of a method."""
        self.epochs[kind] = epochs
        self._write()

    def _write(self) -> None:
        if self._folder is not None:
            content = {"settings": self._settings, "epochs": self.epochs, "models": self._models}
            write_json(self._folder / _SETTINGS, content)

    def read(
        self, name: str, part: str, rate: float, seed: int, *, measured: bool = False
    ) -> Score | None:
        """A score that was kept; `None` if there is none, or none with further measures although
        they are wanted."""
        if self._folder is None:
            return None
        path = _path(self._folder, name, part, rate, seed)
        if not path.exists():
            return None
        try:
            arrays, about = read_tensors(path)
            if about.get("measures") is None:
                if measured:
                    return None
                about = {**about, "measures": {}}
            score = Score(**{**about, **arrays})
            _check(score)
            return score
        except (DataError, TypeError, OverflowError):
            _log.warning("%s is damaged: this fit is done again.", path)
            return None

    def keep(self, name: str, part: str, score: Score, *, measured: bool = False) -> None:
        """Keep a score; `measured` says whether further measures were taken."""
        if self._folder is None:
            return
        values = score._asdict()
        if not measured:
            values["measures"] = None
        arrays = {key: np.asarray(values.pop(key), np.float32) for key in _ARRAYS}
        path = _path(self._folder, name, part, score.rate, score.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, arrays, values)

    def keep_model(self, name: str, rate: float, seed: int, model: Model) -> None:
        """Keep the model of a row, except principal components, in place of its last one."""
        if self._folder is not None and name != "pca":
            save_model(model, self._folder / "models" / name)
            self._models[name] = [rate, seed]
            self._write()

    def read_model(self, name: str, rate: float, seed: int) -> Model | None:
        """A model that was kept; `None` if it has another rate or seed, or if it is damaged."""
        folder = None if self._folder is None else self._folder / "models" / name
        if folder is None or not folder.exists() or self._models.get(name) != [rate, seed]:
            return None
        try:
            return load_model(folder)
        except DataError as error:
            _log.warning("%s; the page is without its map.", str(error).removesuffix("."))
            return None


def _check(score: Score) -> None:
    """Raise a `TypeError` for a score whose values have other types than those of a fit, or an
    `OverflowError` for numbers that are too large."""
    values = score._asdict()
    arrays = [values.pop(name) for name in _ARRAYS]
    numbers = {**values.pop("measures"), **values}
    if not all(isinstance(number, int | float) for number in numbers.values()):
        raise TypeError("a value is no number")
    for number in numbers.values():
        float(number)  # raises an OverflowError
    if not all(isinstance(array, np.ndarray) and array.ndim == 1 for array in arrays):
        raise TypeError("an array has another shape")


def _differing(known: Any, settings: Mapping[str, Any]) -> str | None:
    """What makes kept scores useless for these settings; `None` if they can be used."""
    if not isinstance(known, dict) or not isinstance(known.get("methods"), dict):
        return "format"
    for name, words in _FIXED.items():
        if known.get(name) != settings[name]:
            return words
    for name, fit in settings["methods"].items():
        if known["methods"].get(name, fit) != fit:
            return f"budget or other settings of {name}"
    return None


def _path(folder: Path, name: str, part: str, rate: float, seed: int) -> Path:
    return folder / "fits" / f"{name}-{part}-{rate!r}-{seed}.safetensors"
