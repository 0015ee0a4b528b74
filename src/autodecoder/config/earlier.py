"""Settings in files of earlier versions: what is missing there means what was done back then."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from autodecoder.config.plain import list_settings

#: Version of the layout of what is written, of studies and of models. A new setting raises it.
SCHEMA = 5

#: Settings by the layout that they came with, and their meaning before: files of earlier layouts
#: may lack them.
_MEANT_BEFORE: Mapping[int, Mapping[str, Any]] = MappingProxyType(
    {
        3: MappingProxyType(
            {
                "data.colour": "auto",
                "data.image_size": None,
                "data.pixel_range": None,
                "data.split_by": None,
                "data.strict": False,
                "data.val_fraction": 0.2,
                "decoder.norm": None,
                "decoder.norm_groups": 8,
                "fit.base_width": None,
                "fit.bias_spread": 0.0,
                "fit.clip_norm": None,
                "fit.latent_spread": 1.0,
                "fit.nesterov": False,
                "fit.warmup_steps": 0,
                "infer.fresh_every": 0,
                "infer.method": "adam",
                "infer.n_starts": 1,
                "infer.prior": 0.0,
                "infer.starts": ["nearest"],
                "infer.tolerance": 0.0,
                "log.svg": False,
            }
        ),
        4: MappingProxyType({"data.alpha": "white", "data.mask": None, "fit.loss": "mse"}),
        5: MappingProxyType({"fit.shards": 1}),
    }
)
#: Settings whose default changed with a layout: files hold them, commands of earlier days do not.
_DEFAULTS_CHANGED: Mapping[int, tuple[str, ...]] = MappingProxyType({3: ("decoder.batch_norm",)})


def complete_settings(settings: Any, schema: int, *, whole: bool) -> Any:
    """The settings of a file of some layout as a file of today's would hold them.

    Parameters
    ----------
    settings : mapping
        Anything else comes back as it is: whoever reads it refuses it.
    schema : int
        Layout of the file.
    whole : bool
        Whether the file must hold all parts, as that of a study; a model that no study made has
        some of them.

    Raises
    ------
    ValueError
        If it lacks a setting that files of its layout have.

    Examples
    --------
    >>> complete_settings({"log": {}}, 2, whole=False)
    Traceback (most recent call last):
    ValueError: it lacks the setting log.tensorboard
    """
    if not isinstance(settings, Mapping):
        return settings
    completed = {
        name: dict(part) if isinstance(part, Mapping) else part for name, part in settings.items()
    }
    for layout, meant in _MEANT_BEFORE.items():
        for path, value in meant.items() if layout > schema else ():
            part, _, name = path.partition(".")
            if isinstance(completed.get(part), dict):
                completed[part].setdefault(name, value)
    for setting in list_settings():
        part, _, name = setting.path.rpartition(".")
        holder = completed.get(part) if part else completed
        if isinstance(holder, dict) and name not in holder and (whole or part):
            raise ValueError(f"it lacks the setting {setting.path}")
        if holder is None and whole:
            raise ValueError(f"it lacks the settings of {part}")
    return completed


def kept_settings(settings: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """Those of a study's settings that the same command would set otherwise today.

    They came, or their default changed, after the layout with which the study began.
    """
    kept: dict[str, Any] = {}
    for layout in _MEANT_BEFORE:
        paths = (*_MEANT_BEFORE[layout], *_DEFAULTS_CHANGED.get(layout, ()))
        for path in paths if layout > schema else ():
            part, _, name = path.partition(".")
            if name in settings.get(part, {}):
                kept.setdefault(part, {})[name] = settings[part][name]
    return kept
