"""Studies: trials and their executions, how they run, and their files on disk."""

from autodecoder.data.download import bars_may_be_text

with bars_may_be_text():
    import optuna  # noqa: F401  (imported here first)

from autodecoder.study.checkpoint import Outcome
from autodecoder.study.events import Progress
from autodecoder.study.folder import read_about
from autodecoder.study.images import load_study_data
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.reproduce import RepeatedRun, Reproduction, reproduce_study
from autodecoder.study.results import Execution, Shown, Trial
from autodecoder.study.run import run_study
from autodecoder.study.saved import Study, load_study, write_histories
from autodecoder.study.validate import choose_shown

__all__ = [
    "Execution",
    "Observer",
    "Outcome",
    "Progress",
    "RepeatedRun",
    "Reproduction",
    "RunInfo",
    "Shown",
    "Study",
    "Trial",
    "choose_shown",
    "load_study",
    "load_study_data",
    "read_about",
    "reproduce_study",
    "run_study",
    "write_histories",
]
