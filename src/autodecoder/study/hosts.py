"""One fit over several processes, on one machine or many, with a watchdog.

All processes run the same programs (`jax.distributed`). In addition, each has a connection to the
leader, process 0. Over it, the leader sends the next task, and all processes send a sign of life
every second. A collective waits forever for a process that is gone or stuck. The connections show
which process that is, and all processes end with its name in the message.

An error in one process ends all of them at once, without the normal exit of Python, because jax
would wait there for missing processes.
"""

import contextlib
import math
import os
import queue
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from autodecoder.core.layout import sums_are_right
from autodecoder.errors import AutodecoderError, ConfigError, EngineError

_Value = TypeVar("_Value")

#: Time limit for processes to find each other.
SECONDS_TO_MEET = 60
#: Interval between signs of life.
_SECONDS_TO_BEAT = 1.0
#: Exit status of a process that ends because of another one.
EXIT_STATUS = 3
_MOST_ADDRESS = 512
#: Time limit for sending an error to the other processes.
_SECONDS_TO_TELL = 2.0
#: Time limit for one address to answer.
_SECONDS_TO_REACH = 5.0


class Hosts:
    """The processes of one fit, seen from one of them; a `model.team.Team`.

    Parameters
    ----------
    patience : float
        Seconds until a silent process, or one that the others wait for in a step, ends all
        processes.
    coordinator : str, optional
        `HOST:PORT` of process 0, if known.
    """

    def __init__(self, patience: float, coordinator: str | None = None) -> None:
        self._coordinator = coordinator
        self.index: int = jax.process_index()
        self.count: int = jax.process_count()
        self._patience = patience
        self._locks: dict[int, threading.Lock] = {}
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        """Messages of the leader for the main thread of this process."""
        self._since: float | None = None
        """Time at which this process began to wait in a step."""
        self._seen: dict[int, float] = {}
        """Time of the last message of each process."""
        self._waits: dict[int, float | None] = {}
        """Seconds that each process has been waiting in a step."""
        self._names = {self.index: _own_name(self.index)}
        self._links: dict[int, Connection] = {}
        self._is_over = False
        if not sums_are_right(jax.devices()):
            raise EngineError(
                "the sum over all devices is wrong: the collectives of this release of jax do not "
                "work here; try another release."
            )
        self._connect()

    @property
    def is_leader(self) -> bool:
        """See `Team`."""
        return self.index == 0

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        is_ours = isinstance(error, AutodecoderError)
        if not is_ours and not isinstance(error, KeyboardInterrupt):
            traceback.print_exception(error)
        self.end(str(error) if is_ours else f"{self._names[self.index]} ended: {error!r}", 2)

    def agree(self, value: _Value) -> _Value:
        """See `Team`."""
        if self.is_leader:
            self._tell_all(("value", value))
            return value
        kind, content = self._inbox.get()
        if kind != "value":
            raise EngineError(
                f"{self._names[0]} has stopped the study; its output gives the reason."
            )
        return content

    def collect(self, value: _Value) -> list[_Value]:
        """See `Team`."""
        if not self.is_leader:
            self._tell(0, ("about", value))
            return [value]
        found = dict(self._inbox.get() for _ in range(1, self.count))
        return [value, *(found[index] for index in sorted(found))]

    def send(self, message: Any) -> None:
        """See `Team`."""
        self._is_over = self._is_over or message is None
        self._tell_all(("next", message))

    def receive(self) -> Any:
        """The next message of the leader; called in the other processes."""
        return self._inbox.get()[1]

    def leave(self) -> None:
        """End the study; all processes call it. Afterwards they are no longer joined."""
        if self.is_leader:
            self.send(None)
        jax.distributed.shutdown()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """See `Team`."""
        self._since = time.monotonic()
        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError):  # a collective raises either
            # If another process is gone, its connection reports it by name in the meantime.
            time.sleep(5 * _SECONDS_TO_BEAT)
            raise
        finally:
            self._since = None

    def compare(self, about: Mapping[str, str]) -> None:
        """Check that all processes have equal values; all must call it.

        Raises
        ------
        ConfigError
            In all processes, if one differs. It names the process and the difference.
        """
        values = self.collect(about)
        if self.is_leader:
            found = self._first_difference(values)
            self._is_over = found is not None
            self._tell_all(("value" if found is None else "refuse", found))
        else:
            _, found = self._inbox.get()
        if found is not None:
            raise ConfigError(found)

    def _first_difference(self, values: Sequence[Mapping[str, str]]) -> str | None:
        """The first difference between a process and the leader, as a sentence."""
        for index, theirs in enumerate(values):
            for name, value in values[0].items():
                if theirs.get(name) != value:
                    return (
                        f"{self._names[index]} has another {name} than {self._names[0]}: "
                        f"{theirs.get(name)} instead of {value}."
                    )
        return None

    def end(self, reason: str, status: int = EXIT_STATUS) -> None:
        """End all processes with an error."""
        self._is_over = True
        # In a thread, because the connection to a stuck process may block.
        teller = threading.Thread(
            target=self._tell_all, args=(("end", (reason, status)),), daemon=True
        )
        teller.start()
        teller.join(_SECONDS_TO_TELL)
        sys.stdout.flush()
        os.write(2, f"error: {reason}\n".encode())
        os._exit(status)

    def _connect(self) -> None:
        if self.is_leader:
            key = secrets.token_bytes(16)
            place = "127.0.0.1" if _is_here(self._coordinator) else ""
            with Listener((place, 0), backlog=self.count, authkey=key) as listener:
                addresses = " ".join(_addresses(self._coordinator))
                _share(f"{key.hex()} {listener.address[1]} {addresses}")
                thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
                thread.start()
                thread.join(SECONDS_TO_MEET)
            if len(self._links) < self.count - 1:
                raise EngineError(
                    f"{len(self._links) + 1} of {self.count} processes reached {self._names[0]} "
                    f"within {SECONDS_TO_MEET} s: a firewall may block the others."
                )
        else:
            key, port, *addresses = _share("").split()
            link = _reach(addresses, int(port), bytes.fromhex(key))
            link.send((self.index, self._names[self.index]))
            self._links[0] = link
            self._names[0] = link.recv()
        now = time.monotonic()
        self._seen = dict.fromkeys(self._links, now)
        self._waits = dict.fromkeys(self._links)
        for index in self._links:
            self._locks[index] = threading.Lock()
            threading.Thread(target=self._listen, args=(index,), daemon=True).start()
            threading.Thread(target=self._beat, args=(index,), daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()

    def _accept(self, listener: Listener) -> None:
        while len(self._links) < self.count - 1:
            with contextlib.suppress(AuthenticationError, EOFError, OSError):
                link = listener.accept()
                index, name = link.recv()
                link.send(self._names[0])
                self._names[index] = name
                self._links[index] = link

    def _tell(self, index: int, message: Any) -> None:
        with contextlib.suppress(OSError), self._locks[index]:  # `_listen` reports lost processes
            self._links[index].send(message)

    def _tell_all(self, message: Any) -> None:
        for index in self._links:
            self._tell(index, message)

    def _listen(self, index: int) -> None:
        """Read the messages of a process until it is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, content = self._links[index].recv()
                self._seen[index] = time.monotonic()
                if kind == "beat":
                    self._waits[index] = content
                elif kind == "end":
                    self.end(*content)
                elif kind == "about":
                    self._inbox.put((index, content))
                else:
                    # Set at once, because the connection ends next.
                    is_last = kind == "refuse" or (kind == "next" and content is None)
                    self._is_over = self._is_over or is_last
                    self._inbox.put((kind, content))
        # Without delay: jax aborts a process as soon as it notices that process 0 is gone.
        if not self._is_over:
            self.end(f"{self._names[index]} is gone; {_AGAIN}")

    def _beat(self, index: int) -> None:
        """Send a sign of life every second, with the time that this process waited in a step."""
        while not self._is_over:
            time.sleep(_SECONDS_TO_BEAT)
            self._tell(index, ("beat", self._own_wait()))

    def _own_wait(self) -> float | None:
        since = self._since
        return None if since is None else time.monotonic() - since

    def _watch(self) -> None:
        """Check that the others are alive. It sends nothing, so nothing can block it."""
        while not self._is_over:
            time.sleep(_SECONDS_TO_BEAT)
            now = time.monotonic()
            for index, seen in self._seen.items():
                if now - seen > self._patience and not self._is_over:
                    self.end(
                        f"{self._names[index]} has not been heard of for {now - seen:.0f} s; "
                        f"{_AGAIN}"
                    )
            if self.is_leader and not self._is_over:
                self._look_for_the_stuck({0: self._own_wait(), **self._waits})

    def _look_for_the_stuck(self, waits: Mapping[int, float | None]) -> None:
        """End all if some processes do not reach a step. A step of all processes may be long."""
        longest = max((wait for wait in waits.values() if wait is not None), default=0.0)
        missing = [self._names[i] for i, wait in waits.items() if wait is None]
        if longest > self._patience and missing:
            self.end(
                f"the others have waited for {', '.join(missing)} for {longest:.0f} s; {_AGAIN}"
            )


_AGAIN = "the same command, on fewer or more processes, goes on from the last checkpoint."


def join_hosts(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    patience: float = 300.0,
) -> Hosts:
    """Join the processes of one fit, before any other use of jax.

    Parameters
    ----------
    coordinator : str, optional
        `HOST:PORT` of process 0. Without it, the launcher gives all three values (SLURM, Open MPI,
        Kubernetes: the launchers that `jax.distributed` knows).
    num_processes, process_id : int, optional
    patience : float
        Seconds until a silent process, or one that the others wait for in a step, ends all
        processes.

    Raises
    ------
    ConfigError
        If there is no launcher, or the three arguments are inconsistent.
    EngineError
        If jax cannot join the processes, or their sums are wrong. If they do not find each other
        within a minute, the process ends with a message, because jax would abort it.
    """
    if not (math.isfinite(patience) and patience > 0):
        raise ConfigError(f"watchdog must be a positive number of seconds, got {patience}.")
    if num_processes is not None and num_processes < 1:
        raise ConfigError(f"num_processes must be a positive whole number, got {num_processes}.")
    given = (coordinator, num_processes, process_id)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise ConfigError("coordinator, num_processes and process_id go together.")
    if num_processes is not None and not 0 <= (process_id or 0) < num_processes:
        raise ConfigError(f"process_id must be from 0 to {num_processes - 1}, got {process_id}.")
    # If the processes do not meet, jax aborts this one with a stack trace.
    timer = threading.Timer(SECONDS_TO_MEET, _give_up, (coordinator,))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            initialization_timeout=2 * SECONDS_TO_MEET,
            shutdown_timeout_seconds=SECONDS_TO_MEET,
            coordinator_bind_address=coordinator if _is_here(coordinator) else None,
        )
    except ValueError as error:
        raise ConfigError(
            f"no launcher gives the index of this process ({error}): pass coordinator, "
            "num_processes and process_id."
        ) from error
    except RuntimeError as error:
        first, *_ = str(error).strip().splitlines() or [""]
        raise EngineError(
            f"jax cannot join the processes at {coordinator or 'the coordinator'}: {first}"
        ) from error
    finally:
        timer.cancel()
    return Hosts(patience, coordinator)


def _give_up(coordinator: str | None) -> None:
    where = f" at {coordinator}" if coordinator else ""
    os.write(2, f"error: the processes did not meet{where} within {SECONDS_TO_MEET} s.\n".encode())
    os._exit(EXIT_STATUS)


def _is_here(coordinator: str | None) -> bool:
    """Whether all processes are on this machine, so that no other one needs to reach them."""
    return (coordinator or "").rpartition(":")[0] in ("127.0.0.1", "localhost")


def _own_name(index: int) -> str:
    return f"process {index} ({os.getpid()} on {socket.gethostname()})"


def _addresses(coordinator: str | None) -> list[str]:
    """Addresses at which other processes may reach process 0, most likely first."""
    name = socket.gethostname()
    found = [name] if coordinator is None else [coordinator.rpartition(":")[0].strip("[]"), name]
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
    return [*dict.fromkeys([*found, "127.0.0.1"])]


def _reach(addresses: list[str], port: int, key: bytes) -> Connection:
    for address in addresses:
        with contextlib.suppress(OSError, EOFError, AuthenticationError):
            socket.create_connection((address, port), _SECONDS_TO_REACH).close()
            return Client((address, port), authkey=key)
    raise EngineError(
        f"process 0 cannot be reached at any of {', '.join(addresses)}, port {port}: a firewall "
        "may block it."
    )


def _share(text: str) -> str:
    """Send the leader's text to all processes."""
    content = text.encode().ljust(_MOST_ADDRESS)[:_MOST_ADDRESS]
    shared = multihost_utils.broadcast_one_to_all(np.frombuffer(content, np.uint8))
    return np.asarray(shared).tobytes().decode().strip()
