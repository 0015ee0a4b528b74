"""An engine for the cores or GPUs of one machine, with one process per running group.

The short steps of small decoders leave most cores of a CPU idle. Several processes with few cores
each use all of them. Each process is started fresh, and has its cores to itself.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from autodecoder.errors import ConfigError
from autodecoder.model.devices import count_devices
from autodecoder.study.engines.contract import Assignment, Lost
from autodecoder.study.engines.remote import STOP, RemoteEngine, Setup
from autodecoder.text import count

#: Options of jax that a worker inherits, as environment variables.
_SWITCHES = (
    "jax_platforms",
    "jax_num_cpu_devices",
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


class ProcessEngine(RemoteEngine):
    """Groups in processes of this machine.

    Parameters
    ----------
    setup : Setup
    should_stop : callable
    workers : int, optional
        Number of processes; by default as many as there are cores, or GPUs for groups.
    worker_cores : int, optional
        Cores per process, on a machine without GPUs; by default an equal share.

    Raises
    ------
    ConfigError
        If there are more workers than cores or GPUs for them.
    """

    def __init__(
        self,
        setup: Setup,
        should_stop: Callable[[], bool],
        workers: int | None = None,
        worker_cores: int | None = None,
    ) -> None:
        super().__init__(should_stop)
        self._places = _share_out(workers, worker_cores, count_devices(setup.devices, setup.mesh))
        self._setup = setup
        self._workers: dict[int, _Process] = {}
        """Workers by the number of their place."""
        self._at_work: dict[int, int] = {}
        """Place of each group."""

    @property
    def most(self) -> int:
        """See `Engine`."""
        return len(self._places)

    def _assign(self, group: int, assignment: Assignment) -> None:
        busy = {self._at_work[other] for other in self.running if other in self._at_work}
        place = next(i for i in range(self.most) if i not in busy)
        worker = self._workers.get(place)
        if worker is not None and not worker.is_alive():
            worker.end()
            worker = None
        if worker is None:
            worker = self._workers[place] = _Process(self._places[place], self._setup)
        self._at_work[group] = place
        worker.assign(assignment, lambda message: self._put(group, message))

    def _stop(self) -> None:
        for group in self.running:
            self._workers[self._at_work[group]].stop()

    def close(self) -> None:
        """See `Engine`."""
        self._is_closed = True
        for worker in self._workers.values():
            worker.end()


class _Process:
    """A worker process.

    It reads pickled messages from its standard input, and writes messages to its standard output.
    If this process ends for any reason, the worker's input ends, and the worker ends too.
    """

    def __init__(self, place: "_Place", setup: Setup) -> None:
        environment = {**os.environ, **place.environment, "PYTHONPATH": os.pathsep.join(_path())}
        environment["PYTHONSAFEPATH"] = "1"  # the current folder counts only if the path has it
        for name in _SWITCHES:
            value = jax.config.values.get(name)
            if value is not None:
                environment[name.upper()] = str(value)
        with _pinned(place.cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "autodecoder.study.engines.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # interruptions reach this process, which tells the worker
            )
        self._lock = threading.Lock()
        self._lost: Lost | None = None
        self._tell: Callable[[Any], None] = lambda _: None
        self._send(setup)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_alive(self) -> bool:
        """Whether it can take a group."""
        return self._lost is None

    def assign(self, assignment: Assignment, tell: Callable[[Any], None]) -> None:
        """Give it a group; `tell` is called with each message of the group."""
        with self._lock:
            self._tell = tell
            if self._lost is not None:
                tell(self._lost)
        self._send(assignment)

    def stop(self) -> None:
        """Request its group to stop."""
        self._send(STOP)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # unread input is lost
                pipe.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the worker is gone, which the reader reports
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        reason = None
        try:
            while True:
                message = pickle.load(self._process.stdout)
                with self._lock:
                    self._tell(message)
        except (EOFError, OSError):
            pass
        except Exception as error:  # invalid message
            if self._process.poll() is None:  # otherwise it died while sending
                reason = f"sent what cannot be read ({error})"
                self._process.kill()
        code = self._process.wait()
        if reason is None:
            reason = "ended with " + (f"signal {-code}" if code < 0 else f"exit status {code}")
        with self._lock:
            self._lost = Lost(f"worker process {self._process.pid} {reason}")
            self._tell(self._lost)


class _Place(NamedTuple):
    """The part of the machine that one worker uses."""

    cores: tuple[int, ...] | None
    environment: dict[str, str]


def _share_out(workers: int | None, worker_cores: int | None, devices: int | None) -> list[_Place]:
    """The places of `workers` workers, with `devices` devices per group."""
    if jax.default_backend() == "cpu":
        cores = _own_cores()
        n = len(cores) // (worker_cores or 1) if workers is None else workers
        size = worker_cores or max(1, len(cores) // n)
        if not 0 < n * size <= len(cores):
            raise ConfigError(
                f"{count(max(1, n), 'worker')} of {count(size, 'core')} each requested, but there "
                f"{'is' if len(cores) == 1 else 'are'} {count(len(cores), 'core')}."
            )
        shares = [cores[i * size : (i + 1) * size] for i in range(n)]
        return [_Place(share, {"NPROC": str(size)}) for share in shares]
    if worker_cores is not None:
        raise ConfigError("worker_cores is for machines without GPUs.")
    if jax.default_backend() not in ("gpu", "cuda"):
        raise ConfigError(
            f"engine processes needs CPUs or NVIDIA GPUs, got {jax.default_backend()}."
        )
    there = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = there.split(",") if there else [str(i) for i in range(len(jax.local_devices()))]
    each = len(ids) if devices is None else devices
    n = max(1, len(ids) // each) if workers is None else workers
    if n * each > len(ids):
        raise ConfigError(
            f"{count(n, 'worker')} of {count(each, 'GPU')} each requested, but there are "
            f"{len(ids)}."
        )
    shares = [ids[i * each : (i + 1) * each] for i in range(n)]
    return [_Place(None, {"CUDA_VISIBLE_DEVICES": ",".join(share)}) for share in shares]


def _own_cores() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _path() -> list[str]:
    """The module path of this process, which code may have changed."""
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  (the first may be "")


@contextlib.contextmanager
def _pinned(cores: Sequence[int] | None) -> Iterator[None]:
    """Run the calling thread, and the processes that it starts, on these cores."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
