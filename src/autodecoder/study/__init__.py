"""Trials and executions: what to run, how it went, and what is kept on disk."""

from autodecoder.study.results import Execution, StudyResult, Trial
from autodecoder.study.run import Progress, load_study_data, run_study
from autodecoder.study.store import create_folder, discard_folder, write_file, write_study

__all__ = [
    "Execution",
    "Progress",
    "StudyResult",
    "Trial",
    "create_folder",
    "discard_folder",
    "load_study_data",
    "run_study",
    "write_file",
    "write_study",
]
