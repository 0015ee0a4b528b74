"""The metrics of a model: those of the epoch whose decoder and latents it holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autodecoder.config import METRIC_ALIASES, OBJECTIVES
from autodecoder.measures.yardstick import Levels, Yardstick, read_yardstick

if TYPE_CHECKING:
    from autodecoder.model.model import Model

#: What errors of pixels or features are measured in, by the scaler of a model.
UNITS = {
    "standard": "pixels from -1 to 1",
    "zero_one": "pixels from 0 to 1",
    "identity": "pixels from 0 to 255",
    "standardize": "features of mean 0 and standard deviation 1",
}


def model_metrics(model: "Model") -> dict[str, float]:
    """The metrics of the saved epoch. Metrics that were not measured then are left out."""
    epoch = saved_epoch(model)
    return {name: value for name, (value, of) in _latest(model).items() if of == epoch}


def named_metrics(model: "Model") -> dict[str, float]:
    """All metrics but gradients, for people. The name of a metric that was not measured in the
    saved epoch says after which epoch it was."""
    epoch = saved_epoch(model)
    return {
        name if of == epoch else f"{name} after epoch {of}": value
        for name, (value, of) in _latest(model).items()
        if "gradient" not in name
    }


def latest_metric(model: "Model", name: str) -> float | None:
    """A metric in the saved epoch, else as it was last measured; `None` if it never was."""
    found = _latest(model).get(name)
    return None if found is None else found[0]


def yardstick_of(model: "Model") -> Yardstick | None:
    """The errors of the mean image and of principal components that the study of a model measured;
    `None` if there are none."""
    try:
        return read_yardstick(model.about.get("yardstick"))
    except ValueError:
        return None


def error_levels(model: "Model") -> dict[str, Levels]:
    """The errors of the yardstick to draw with the learning curves, by metric."""
    yardstick = yardstick_of(model)
    return {} if yardstick is None else yardstick.levels([model.latent_dims])


def compare_error(model: "Model") -> list[str]:
    """The error of the saved epoch beside those of the yardstick, as a line for people; empty
    without a yardstick."""
    yardstick = yardstick_of(model)
    if yardstick is None:
        return []
    measured = model_metrics(model)
    own = [f"{measured[name]:.4g}; " for name in yardstick.levels(()) if name in measured]
    beside = yardstick.tell([model.latent_dims]).replace("mean image", "the mean image has", 1)
    told = f"Mean squared error of the {yardstick.images} ({UNITS[model.scaler]}): "
    return [f"{told}{''.join(own[:1])}{beside}.{yardstick.note()}"]


def describe_epoch(model: "Model") -> str | None:
    """The saved epoch, such as `83 of 500, where val_loss was least`; `None` if unknown."""
    told, epoch = model.about.get("epoch"), saved_epoch(model)
    if type(told) is not int or told != epoch:
        return None if told is None else str(told)
    metric = _objective(model)
    is_best = metric in model.history and _best_epoch(metric, model.history[metric]) == epoch
    if is_last_epoch(model) and not is_best:
        return str(epoch)
    which = "least" if OBJECTIVES.get(metric) == "min" else "greatest"
    return f"{epoch} of {_total(model)}" + (f", where {metric} was {which}" if is_best else "")


def is_last_epoch(model: "Model") -> bool:
    """Whether the model holds the last epoch of its history."""
    return saved_epoch(model) == (_total(model) or None)


def saved_epoch(model: "Model") -> int | None:
    """The epoch, counted from 1, whose decoder and latents the model holds: by default the last
    one of its history; `None` without a history."""
    told, total = model.about.get("epoch"), _total(model)
    return told if type(told) is int and 0 < told <= total else total or None


def _latest(model: "Model") -> dict[str, tuple[float, int]]:
    """Each metric as it was measured in the saved epoch, else the last time, with that epoch."""
    epoch, found = saved_epoch(model), {}
    for name, values in model.history.items():
        measured = np.flatnonzero(np.isfinite(np.ravel(values)))
        if measured.size:
            at = epoch - 1 if epoch is not None and epoch - 1 in measured else int(measured[-1])
            found[name] = (float(np.ravel(values)[at]), at + 1)
    return found


def _best_epoch(metric: str, values: np.ndarray) -> int | None:
    """The epoch with the best value, counted from 1; `None` without a finite value."""
    badness = np.ravel(values) * (1 if OBJECTIVES[metric] == "min" else -1)
    badness = np.where(np.isfinite(badness), badness, np.inf)
    return int(np.argmin(badness)) + 1 if np.isfinite(badness).any() else None


def _total(model: "Model") -> int:
    return max((np.size(values) for values in model.history.values()), default=0)


def _objective(model: "Model") -> str:
    settings: Any = model.about.get("settings")
    told = settings.get("objective") if isinstance(settings, Mapping) else None
    metric = METRIC_ALIASES.get(told, told) if isinstance(told, str) else ""
    return metric if metric in OBJECTIVES else ""
