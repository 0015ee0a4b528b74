"""Choice of the engine of a study."""

from collections.abc import Callable
from dataclasses import dataclass

from autodecoder.config.rules import check_choice, positive_up_to
from autodecoder.errors import ConfigError
from autodecoder.model.devices import choose_devices
from autodecoder.model.memory import AUTO, MemoryConfig
from autodecoder.study.engines.contract import Engine
from autodecoder.study.engines.local import LocalEngine
from autodecoder.study.hosts import Hosts
from autodecoder.study.images import HostImages

ENGINES = ("local", "processes", "ray")


@dataclass(frozen=True)
class EngineConfig:
    """The engine and its resources; see `run_study`."""

    name: str = "local"
    workers: int | None = None
    worker_cores: int | None = None
    ray_address: str | None = None
    memory: MemoryConfig = AUTO

    def __post_init__(self) -> None:
        check_choice("engine", self.name, ENGINES)
        for name in ("workers", "worker_cores"):
            value = getattr(self, name)
            if value is not None and self.name == "local":
                raise ConfigError(f"{name} is for the engines processes and ray, not for local.")
            if value is not None:
                positive_up_to(100_000)(name, value)
        if self.memory != AUTO and self.name != "local":
            raise ConfigError(f"rows and memory are for the engine local, not for {self.name}.")
        if self.ray_address is not None and self.name != "ray":
            raise ConfigError(f"ray_address is for the engine ray, not for {self.name}.")


def make_engine(
    config: EngineConfig,
    images: HostImages,
    devices: int | str | None,
    mesh: str | None,
    should_stop: Callable[[], bool],
    hosts: Hosts | None = None,
) -> Engine:
    """Make the engine for the images of a study.

    Raises
    ------
    ConfigError
        If fewer devices, cores or GPUs exist than are requested.
    EngineError
        If Ray is not installed, or its cluster does not answer.
    """
    if hosts is not None:
        if config.name != "local":
            raise ConfigError(f"engine {config.name} does not support fits over several processes.")
        _refuse_rows(config.memory, "several processes")
        chosen = choose_devices(devices or "all", mesh, over_hosts=True)
        return LocalEngine(images, chosen, should_stop, team=hosts)
    if config.name == "local":
        chosen = choose_devices(devices, mesh)
        if len(chosen.chosen) > 1:
            _refuse_rows(config.memory, "several devices")
        return LocalEngine(images, chosen, should_stop, config.memory)
    from autodecoder.study.engines.remote import Setup  # imported at use, like the engines

    setup = Setup(images, devices, mesh)
    if config.name == "processes":
        from autodecoder.study.engines.processes import ProcessEngine

        return ProcessEngine(setup, should_stop, config.workers, config.worker_cores)
    from autodecoder.study.engines.cluster import RayEngine

    return RayEngine(setup, should_stop, config.workers, config.worker_cores, config.ray_address)


def _refuse_rows(memory: MemoryConfig, what: str) -> None:
    if memory.rows in ("host", "disk") or memory.memory is not None:
        raise ConfigError(f"rows and memory are for fits on one device, not for {what}.")
