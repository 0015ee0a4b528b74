"""Settings in files of earlier versions: missing ones get the value that was in effect then, and
values that no longer exist are replaced."""

from collections.abc import Mapping
from typing import Any

from autodecoder.config.plain import list_settings

_SETTINGS = list_settings()
#: Starts of inference in earlier versions that `nearest` replaces.
_GONE_STARTS = ("grid", "learned")
#: Until this layout, the default spread of principal components was the same for all lengths.
_ONE_SPREAD, _SPREAD, _MOST_DIMS = 10, 3.0, 16
#: Version of the file layout of studies and models. It rises with each new setting or default.
SCHEMA = max(setting.changed for setting in _SETTINGS)


def complete_settings(settings: Any, schema: int, *, whole: bool) -> Any:
    """Convert the settings of a file with an earlier layout to today's layout.

    Parameters
    ----------
    settings : mapping
        Anything else is returned unchanged; the reader refuses it.
    schema : int
        Layout of the file.
    whole : bool
        Whether the file must hold all parts. A study's file must; the file of a model that was
        not made by a study holds only some.

    Raises
    ------
    ValueError
        If the file lacks a setting that its layout has.

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
    if schema <= _ONE_SPREAD:
        _keep_spread(completed.get("fit"), completed.get("decoder"))
    infer = completed.get("infer")
    if isinstance(infer, dict) and infer.pop("prior", 0) and whole:
        raise ValueError("its setting infer.prior is gone: infer.prior_weight has another unit")
    if isinstance(infer, dict) and isinstance(infer.get("starts"), list):
        infer["starts"] = _without_gone(infer["starts"])
    return completed


def _keep_spread(fit: Any, decoder: Any) -> None:
    """Name the spread that was the default, where it is another one today."""
    if not (isinstance(fit, dict) and isinstance(decoder, dict)):
        return
    dims, is_map = decoder.get("latent_dims"), fit.get("latent_start") in ("som", "neighbours")
    is_default = fit.get("latent_spread", 0) is None
    if is_default and not is_map and isinstance(dims, int) and dims > _MOST_DIMS:
        fit["latent_spread"] = _SPREAD


def _without_gone(starts: list[Any]) -> list[Any]:
    """Replace the starts that no longer exist by one `nearest`."""
    kept = [start for start in starts if start not in _GONE_STARTS]
    return kept if len(kept) == len(starts) or "nearest" in kept else ["nearest", *kept]


def kept_settings(settings: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """The settings of a study that have another default today.

    These are the settings that were added, or whose default changed, after the study's layout.
    """
    kept: dict[str, Any] = {}
    for setting in _SETTINGS:
        part, _, name = setting.path.rpartition(".")
        holder = settings.get(part, {}) if part else settings
        if setting.changed > schema and name in holder:
            (kept.setdefault(part, {}) if part else kept)[name] = holder[name]
    return kept
