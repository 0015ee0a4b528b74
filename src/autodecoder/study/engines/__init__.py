"""Where the groups of a study run: in this process, in others of this machine, on a cluster."""

from autodecoder.study.engines.choose import ENGINES, EngineConfig, make_engine
from autodecoder.study.engines.contract import Engine, Failed, Finished, Lost, Told

__all__ = ["ENGINES", "Engine", "EngineConfig", "Failed", "Finished", "Lost", "Told", "make_engine"]
