"""A trial as a row of TensorBoard's table of hyperparameters (HParams)."""

# The classes of protocol buffers are made at run time.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.summary import hparams

from autodecoder.config import StudyConfig, format_value

#: `HParamInfo.differs = true` in the encoding of protocol buffers: TensorBoard's field 7, which
#: tensorboardX does not know.
_DIFFERS = b"\x38\x01"


def describe_trial(
    config: StudyConfig, values: Mapping[str, Any], metrics: Mapping[str, float], *, failed: bool
) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    """The summaries that announce the columns of the table, begin a trial's row and end it.

    The columns are the settings that the study searches, and the metrics. Every trial announces all
    of them: TensorBoard takes the columns of its table from one trial only.
    """
    searched = {name: _tell(values[name]) for name in config.searched}
    experiment, start, end = hparams(searched, metrics)
    _mark_searched(experiment.value[0].metadata.plugin_data)
    if failed:
        _declare_failed(end.value[0].metadata.plugin_data)
    return experiment.value, start.value, end.value


def _tell(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else format_value(value)


def _mark_searched(plugin: Any) -> None:
    """Mark the settings that differ between trials. TensorBoard shows these first, and sorts the
    others by name."""
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.MergeFromString(_DIFFERS)
    plugin.content = content.SerializeToString()


def _declare_failed(plugin: Any) -> None:
    """Set the status of a trial to failed; tensorboardX itself only writes success."""
    content = HParamsPluginData.FromString(plugin.content)
    content.session_end_info.status = Status.Value("STATUS_FAILURE")
    plugin.content = content.SerializeToString()
