"""Settings in files of earlier versions: what is missing means what was done then, and values that
are gone are replaced."""

from collections.abc import Mapping
from typing import Any

from autodecoder.config.plain import list_settings

_SETTINGS = list_settings()
#: Starts of inference that earlier versions had beside `nearest`, which takes their place.
_GONE_STARTS = ("grid", "learned")
#: Version of the layout of what is written, of studies and of models: that of the newest setting or
#: default.
SCHEMA = max(setting.changed for setting in _SETTINGS)


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
    for setting in _SETTINGS:
        part, _, name = setting.path.rpartition(".")
        holder = completed.get(part) if part else completed
        if holder is None and whole:
            raise ValueError(f"it lacks the settings of {part}")
        if not isinstance(holder, dict) or name in holder or not (whole or part):
            continue
        if setting.since is None or setting.since[0] <= schema:
            raise ValueError(f"it lacks the setting {setting.path}")
        holder[name] = setting.since[1]
    infer = completed.get("infer")
    if isinstance(infer, dict) and infer.pop("prior", 0) and whole:
        raise ValueError("its setting infer.prior is gone: infer.prior_weight has another unit")
    if isinstance(infer, dict) and isinstance(infer.get("starts"), list):
        infer["starts"] = _without_gone(infer["starts"])
    return completed


def _without_gone(starts: list[Any]) -> list[Any]:
    """Starts of an earlier version, `nearest` once in the place of those that went."""
    kept = [start for start in starts if start not in _GONE_STARTS]
    return kept if len(kept) == len(starts) or "nearest" in kept else ["nearest", *kept]


def kept_settings(settings: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """Those of a study's settings that the same command would set otherwise today.

    They came, or their default changed, after the layout with which the study began.
    """
    kept: dict[str, Any] = {}
    for setting in _SETTINGS:
        part, _, name = setting.path.rpartition(".")
        holder = settings.get(part, {}) if part else settings
        if setting.changed > schema and name in holder:
            (kept.setdefault(part, {}) if part else kept)[name] = holder[name]
    return kept
