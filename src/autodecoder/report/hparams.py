"""A trial as a row of TensorBoard's table of hyperparameters (HParams)."""

# The classes of protocol buffers are made at run time.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.summary import hparams

from autodecoder.config import StudyConfig, to_dict
from autodecoder.files import readable

#: `HParamInfo.differs = true` in the encoding of protocol buffers: TensorBoard's field 7, which
#: tensorboardX does not know.
_DIFFERS = b"\x38\x01"


def describe_trial(
    config: StudyConfig, values: Mapping[str, Any], metrics: Mapping[str, float], *, failed: bool
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """The summaries that announce the columns of the table, begin a trial's row and end it.

    Every trial announces all metrics and settings, even those that it lacks: TensorBoard takes the
    columns of its table from one trial only, possibly of another study.
    """
    settings = _settings(config, values)
    known = {name: value for name, value in settings.items() if value is not None}
    _, start, end = hparams(known, metrics)
    experiment, _, _ = hparams({**_blanks(config), **known}, metrics)
    _mark_searched(experiment.value[0].metadata.plugin_data, config.searched)
    if failed:
        _declare_failed(end.value[0].metadata.plugin_data)
    return experiment.value, start.value, end.value


def _settings(config: StudyConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a trial by short names."""
    flat: dict[str, Any] = {}
    for part, content in to_dict(config).items():
        items = content.items() if isinstance(content, dict) else [("", content)]
        flat |= {_short(part, name): readable(value) for name, value in items}
    del flat["search.space"]  # the trial's own values stand for it
    flat |= values
    return {
        name: "-".join(map(str, value)) or "none" if isinstance(value, list | tuple) else value
        for name, value in flat.items()
    }


def _blanks(config: StudyConfig) -> dict[str, Any]:
    """A blank value for each setting that may be `None`, so that TensorBoard knows its type."""
    return {
        _short(part.name, name): 0.0 if {int, float} & {*get_args(kind)} else ""
        for part in fields(config)
        if is_dataclass(getattr(config, part.name))
        for name, kind in get_type_hints(type(getattr(config, part.name))).items()
        if type(None) in get_args(kind)
    }


def _short(part: str, name: str) -> str:
    if not name:
        return part
    return name if part in ("data", "decoder", "fit") else f"{part}.{name}"


def _mark_searched(plugin: Any, names: Sequence[str]) -> None:
    """Mark the settings that differ between trials. TensorBoard shows these first, and sorts the
    others by name."""
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        if info.name in names:
            info.MergeFromString(_DIFFERS)
    plugin.content = content.SerializeToString()


def _declare_failed(plugin: Any) -> None:
    """Set the status of a trial to failed; tensorboardX itself only writes success."""
    content = HParamsPluginData.FromString(plugin.content)
    content.session_end_info.status = Status.Value("STATUS_FAILURE")
    plugin.content = content.SerializeToString()
