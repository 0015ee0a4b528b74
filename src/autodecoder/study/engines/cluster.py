"""An engine that runs groups on a cluster, by Ray (Moritz et al. 2018).

Images are sent once to Ray's object store. Each group is an actor with its own devices. Its events
return as an ordered stream, so workers need neither a shared disk nor a database. If an actor or
its node dies, its group resumes elsewhere from its last checkpoint.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from autodecoder.errors import EngineError
from autodecoder.model.devices import count_devices
from autodecoder.study.engines.contract import Assignment, Failed, Lost
from autodecoder.study.engines.remote import (
    LogForwarder,
    RemoteEngine,
    Setup,
    Workplace,
    portable_error,
    versions,
)

#: Time limit for a cluster to answer.
_SECONDS_TO_CONNECT = 30
#: Unread messages of a group, at most; further ones block the group.
_MOST_ON_THEIR_WAY = 16


class RayEngine(RemoteEngine):
    """Groups on a Ray cluster.

    Parameters
    ----------
    setup : Setup
    should_stop : callable
    workers : int, optional
        Largest number of groups at once; by default as many as the cluster has CPUs or GPUs for.
    worker_cores : int, optional
        CPUs per group; 1 by default.
    address : str, optional
        Address of the cluster; see `run_study`.

    Raises
    ------
    EngineError
        If Ray is not installed, or the cluster does not answer or lacks the devices.
    """

    def __init__(
        self,
        setup: Setup,
        should_stop: Callable[[], bool],
        workers: int | None = None,
        worker_cores: int | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(should_stop)
        try:
            import ray
        except ImportError:
            raise EngineError("the engine ray needs Ray: pip install 'autodecoder[ray]'.") from None
        self._ray: Any = ray
        self._workers = workers
        self._is_ours = not ray.is_initialized()
        """Whether the engine opened the connection to the cluster, and closes it."""
        if self._is_ours:
            _connect(ray, address or os.environ.get("RAY_ADDRESS"))
        try:
            n = count_devices(setup.devices, setup.mesh)
            has_gpus = ray.cluster_resources().get("GPU", 0) > 0
            self._needs = {"CPU": float(worker_cores or 1), "GPU": float(n or 1) * has_gpus}
            self._setup = ray.put(setup)
        except BaseException:
            self.close()
            raise
        self._actors: dict[int, Any] = {}
        self._heard: set[int] = set()
        """Groups that have sent a message."""

    @property
    def most(self) -> int:
        """See `Engine`. It changes as nodes join and leave the cluster."""
        fits = 0
        for node in self._ray.nodes():
            there = node["Resources"] if node["Alive"] else {}
            fits += min(int(there.get(name, 0) // n) for name, n in self._needs.items() if n)
        if not fits:
            needs = " and ".join(f"{n:g} {name}" for name, n in self._needs.items() if n)
            raise EngineError(f"no node of the Ray cluster has {needs}, which a group needs.")
        return fits if self._workers is None else min(fits, self._workers)

    def _assign(self, group: int, assignment: Assignment) -> None:
        variables = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        # The size of XLA's thread pool, which would otherwise be that of the node.
        variables["NPROC"] = str(int(self._needs["CPU"]))
        if not self._needs["GPU"]:
            variables["JAX_PLATFORMS"] = "cpu"
        options = {
            "num_cpus": self._needs["CPU"],
            "num_gpus": self._needs["GPU"],
            "max_concurrency": 2,  # `stop` during `run`
            "runtime_env": {"env_vars": variables},
        }
        actor = self._ray.remote(_Actor).options(**options).remote(self._setup, versions())
        self._actors[group] = actor
        stream = actor.run.options(
            num_returns="streaming", _generator_backpressure_num_objects=_MOST_ON_THEIR_WAY
        ).remote(assignment)
        threading.Thread(target=self._follow, args=(group, stream), daemon=True).start()

    def _follow(self, group: int, stream: Any) -> None:
        """Read a group's messages as they arrive."""
        try:
            for reference in stream:
                self._put(group, self._ray.get(reference))
                self._heard.add(group)
            reason = "ended without a result"  # ignored after a result
        except self._ray.exceptions.RayTaskError as error:
            self._put(group, Failed(RuntimeError(str(error))))
            return
        except Exception as error:  # the actor, its node or a message is lost
            lines = str(error).strip().splitlines() or [repr(error)]
            reason = f"is gone ({'; '.join(dict.fromkeys((lines[0], lines[-1])))})"
        finally:
            self._actors.pop(group, None)  # the last reference, so the actor ends
        self._put(group, Lost(f"the worker of group {group + 1} {reason}"))

    def _stop(self) -> None:
        for group, actor in list(self._actors.items()):
            if group in self._heard:
                actor.stop.remote()
            else:  # it may still wait for a node
                self._ray.kill(actor)

    def close(self) -> None:
        """See `Engine`."""
        self._is_closed = True
        for actor in list(getattr(self, "_actors", {}).values()):
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self._is_ours:
            self._ray.shutdown()


class _Actor:
    """The worker of one group."""

    def __init__(self, setup: Setup, wanted: dict[str, str]) -> None:
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._workplace: Workplace | None = None
        if versions() != wanted:
            there, here = (
                " and ".join(f"{name} {version}" for name, version in found.items())
                for found in (versions(), wanted)
            )
            self._error = EngineError(
                f"a worker on {socket.gethostname()} has {there}, but this process {here}: install "
                "the same versions everywhere."
            )
            return
        try:
            self._workplace = Workplace(setup)
        except Exception as error:
            self._error = portable_error(error)

    def run(self, assignment: Assignment) -> Iterator[Any]:
        """Run a group; see `Workplace`."""
        if self._workplace is None:
            assert self._error is not None
            yield Failed(self._error)
            return
        records: list[Any] = []
        log = logging.getLogger("autodecoder")
        log.addHandler(LogForwarder(records.append))
        log.propagate = False
        log.setLevel(logging.INFO)
        for message in self._workplace.run(assignment, self._stop.is_set):
            while records:
                yield records.pop(0)
            yield message

    def stop(self) -> None:
        """Request the group to stop."""
        self._stop.set()


def _connect(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start a local one."""
    if address is not None:
        _check_health(address)
    # Keep this process's handler: Ray's would end it at once, but commands save first.
    at_end = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            # Ray forks to start its servers. jax warns of that, although they do not use jax.
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                include_dashboard=False if address is None else None,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(_unanswered(address, str(error))) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, at_end)


def _check_health(address: str) -> None:
    """Check in another process that a cluster answers at an address. If none does, Ray itself
    waits for minutes, and then ends the process that calls it."""
    if address.startswith("ray://"):
        raise EngineError(
            f"ray_address must be HOST:PORT or auto, got {address}: Ray's client cannot stream "
            "events; start the study on a node of the cluster, or with ray job submit."
        )
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise EngineError(f"ray_address must be HOST:PORT or auto, got {address}.")
        try:
            socket.create_connection((host, int(port)), timeout=_SECONDS_TO_CONNECT).close()
        except (OSError, OverflowError) as error:
            raise EngineError(_unanswered(address, str(error))) from None
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    command += [] if address == "auto" else ["--address", address]
    try:
        found = subprocess.run(
            command, timeout=_SECONDS_TO_CONNECT, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(_unanswered(address, f"not within {_SECONDS_TO_CONNECT} s")) from None
    if found.returncode:
        *_, last = found.stderr.strip().splitlines() or ["no reason given"]
        raise EngineError(_unanswered(address, last))


def _unanswered(address: str | None, reason: str) -> str:
    where = "Ray" if address is None else f"a Ray cluster at {address}"
    return (
        f"{where} does not answer ({reason.strip()}): start one with ray start --head, or omit "
        "ray_address for a local cluster."
    )
