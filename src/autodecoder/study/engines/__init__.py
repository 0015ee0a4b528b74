"""Engines for the groups of a study: this process, other processes of the machine, a cluster."""

from autodecoder.study.engines.choose import ENGINES, EngineConfig, make_engine
from autodecoder.study.engines.contract import Engine, Failed, Finished, Lost, Told

__all__ = ["ENGINES", "Engine", "EngineConfig", "Failed", "Finished", "Lost", "Told", "make_engine"]
