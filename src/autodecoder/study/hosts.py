"""One fit over several processes, on one machine or many: who leads, who is missing.

All processes run the same programs (`jax.distributed`). Beside the collectives of those, each has
a connection to the leader, process 0. Over it the leader says what comes next, and all say every
second that they are alive. A collective waits for ever for a process that is gone or stuck. The
connection shows at once which one that is, and all of them end with its name.
"""

import contextlib
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from autodecoder.core.layout import sums_are_right
from autodecoder.errors import ConfigError, EngineError

_Value = TypeVar("_Value")

#: How long processes may take to find each other.
SECONDS_TO_MEET = 60
#: Between two signs of life.
_SECONDS_TO_BEAT = 1.0
#: Exit status of a process that ends because of another one.
EXIT_STATUS = 3
_MOST_ADDRESS = 512


class Hosts:
    """The processes of one fit, as one of them sees them; a `model.team.Team`.

    Parameters
    ----------
    patience : float
        Seconds after which a process that is not heard of, or a step that does not end, ends all.
    """

    def __init__(self, patience: float) -> None:
        self.index = jax.process_index()
        self.count = jax.process_count()
        self._patience = patience
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        """What the leader has said, for this process's main thread."""
        self._since: float | None = None
        """When this process began to wait in a step."""
        self._seen: dict[int, float] = {}
        """When each process was heard of last."""
        self._waits: dict[int, float | None] = {}
        """How long it has been waiting in a step."""
        self._names = {self.index: _own_name(self.index)}
        self._links: dict[int, Connection] = {}
        self._is_over = False
        if not sums_are_right(jax.devices()):
            raise EngineError(
                "the sum over all devices is wrong: the collectives of this release of jax cannot "
                "be used here; try another one."
            )
        self._connect()

    @property
    def is_leader(self) -> bool:
        """See `Team`."""
        return self.index == 0

    def agree(self, value: _Value) -> _Value:
        """See `Team`."""
        if self.is_leader:
            self._tell_all(("value", value))
            return value
        kind, content = self._inbox.get()
        if kind != "value":
            raise EngineError(f"{self._names[0]} has ended the study; see what it says.")
        return content

    def send(self, message: Any) -> None:
        """See `Team`."""
        self._is_over = self._is_over or message is None
        self._tell_all(("next", message))

    def receive(self) -> Any:
        """What the leader sends next; in the other processes."""
        return self._inbox.get()[1]

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """See `Team`."""
        self._since = time.monotonic()
        try:
            yield
        except jax.errors.JaxRuntimeError:
            # It may be that another process is gone, which its connection tells by name.
            time.sleep(5 * _SECONDS_TO_BEAT)
            raise
        finally:
            self._since = None

    def compare(self, about: Mapping[str, str]) -> None:
        """See that all processes have the same of everything; all must call it.

        Raises
        ------
        ConfigError
            In all of them, if one differs; it says which one, and in what.
        """
        if self.is_leader:
            found = self._first_difference(about)
            self._is_over = found is not None
            self._tell_all(("value" if found is None else "refuse", found))
        else:
            self._tell(0, ("about", dict(about)))
            _, found = self._inbox.get()
        if found is not None:
            raise ConfigError(found)

    def _first_difference(self, about: Mapping[str, str]) -> str | None:
        found = None
        for _ in range(1, self.count):
            index, theirs = self._inbox.get()
            for name, value in about.items():
                if found is None and theirs.get(name) != value:
                    found = (
                        f"{self._names[index]} has another {name} than {self._names[0]}: "
                        f"{theirs.get(name)} instead of {value}."
                    )
        return found

    def end(self, reason: str) -> None:
        """End all processes, with an error."""
        self._is_over = True
        if self.is_leader:
            self._tell_all(("end", reason))
        os.write(2, f"error: {reason}\n".encode())
        os._exit(EXIT_STATUS)

    def _connect(self) -> None:
        if self.is_leader:
            key = secrets.token_bytes(16)
            with Listener(("", 0), backlog=self.count, authkey=key) as listener:
                _share(f"{key.hex()} {listener.address[1]} {' '.join(_addresses())}")
                thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
                thread.start()
                thread.join(SECONDS_TO_MEET)
            if len(self._links) < self.count - 1:
                raise EngineError(
                    f"of {self.count} processes {len(self._links) + 1} reached {self._names[0]} "
                    f"within {SECONDS_TO_MEET} s: a firewall may be between."
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
            threading.Thread(target=self._listen, args=(index,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _accept(self, listener: Listener) -> None:
        while len(self._links) < self.count - 1:
            with contextlib.suppress(AuthenticationError, EOFError):
                link = listener.accept()
                index, name = link.recv()
                link.send(self._names[0])
                self._names[index] = name
                self._links[index] = link

    def _tell(self, index: int, message: Any) -> None:
        with contextlib.suppress(OSError), self._lock:  # gone: `_listen` says so
            self._links[index].send(message)

    def _tell_all(self, message: Any) -> None:
        for index in self._links:
            self._tell(index, message)

    def _listen(self, index: int) -> None:
        """Take what a process says, until it is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, content = self._links[index].recv()
                self._seen[index] = time.monotonic()
                if kind == "beat":
                    self._waits[index] = content
                elif kind == "end":
                    self.end(content)
                elif kind == "about":
                    self._inbox.put((index, content))
                else:
                    # At once, since what comes next is the end of the connection.
                    is_last = kind == "refuse" or (kind == "next" and content is None)
                    self._is_over = self._is_over or is_last
                    self._inbox.put((kind, content))
        # Without delay: jax aborts a process as soon as it finds that process 0 is gone.
        if not self._is_over:
            self.end(f"{self._names[index]} is gone; {_AGAIN}")

    def _beat(self) -> None:
        """Say that this process is alive, and look whether the others are."""
        while not self._is_over:
            time.sleep(_SECONDS_TO_BEAT)
            now, since = time.monotonic(), self._since
            waits = None if since is None else now - since
            self._tell_all(("beat", waits))
            for index, seen in self._seen.items():
                if now - seen > self._patience and not self._is_over:
                    self.end(
                        f"{self._names[index]} has not been heard of for {now - seen:.0f} s; "
                        f"{_AGAIN}"
                    )
            if self.is_leader and not self._is_over:
                self._look_for_the_stuck({0: waits, **self._waits})

    def _look_for_the_stuck(self, waits: Mapping[int, float | None]) -> None:
        longest = max((wait for wait in waits.values() if wait is not None), default=0.0)
        if longest <= self._patience:
            return
        others = [self._names[i] for i, wait in waits.items() if wait is None]
        who = ", ".join(others) or "all processes together"
        self.end(
            f"a step has taken {longest:.0f} s, and {who} {'has' if len(others) == 1 else 'have'} "
            f"not {'come to it' if others else 'finished it'}; {_AGAIN}"
        )


_AGAIN = "the same command, on fewer or more processes, goes on from the last checkpoint."


def join_hosts(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    patience: float = 300.0,
) -> Hosts:
    """Join the processes of one fit; before anything else of jax is used.

    Parameters
    ----------
    coordinator : str, optional
        `HOST:PORT` of process 0. Without it, all three are what the launcher says (SLURM, Open MPI,
        Kubernetes: those that `jax.distributed` knows).
    num_processes, process_id : int, optional
    patience : float
        Seconds after which a process that is not heard of, or a step that does not end, ends all.

    Raises
    ------
    ConfigError
        If there is no launcher, or what is given is no such thing.
    EngineError
        If the processes do not find each other within a minute, or cannot add up.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise ConfigError("coordinator, num_processes and process_id go together.")
    if num_processes is not None and not 0 <= (process_id or 0) < num_processes:
        raise ConfigError(f"process_id must be from 0 to {num_processes - 1}, got {process_id}.")
    # Where they do not meet, jax aborts the process with a stack of calls.
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
        )
    except ValueError as error:
        raise ConfigError(
            f"no launcher says which process this is ({error}): give coordinator, num_processes "
            "and process_id."
        ) from error
    except RuntimeError as error:
        first, *_ = str(error).strip().splitlines() or [""]
        raise EngineError(
            f"the processes did not meet at {coordinator or 'the coordinator'}: {first}"
        ) from error
    finally:
        timer.cancel()
    return Hosts(patience)


def _give_up(coordinator: str | None) -> None:
    where = f" at {coordinator}" if coordinator else ""
    os.write(2, f"error: the processes did not meet{where} within {SECONDS_TO_MEET} s.\n".encode())
    os._exit(EXIT_STATUS)


def _own_name(index: int) -> str:
    return f"process {index} ({os.getpid()} on {socket.gethostname()})"


def _addresses() -> list[str]:
    """Where other processes may reach this one, likeliest first."""
    name = socket.gethostname()
    found = [name]
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
    return [*dict.fromkeys([*found, "127.0.0.1"])]


def _reach(addresses: list[str], port: int, key: bytes) -> Connection:
    for address in addresses:
        with contextlib.suppress(OSError):
            return Client((address, port), authkey=key)
    raise EngineError(
        f"process 0 cannot be reached at any of {', '.join(addresses)}, port {port}: a firewall "
        "may be between."
    )


def _share(text: str) -> str:
    """The leader's text."""
    content = text.encode().ljust(_MOST_ADDRESS)[:_MOST_ADDRESS]
    shared = multihost_utils.broadcast_one_to_all(np.frombuffer(content, np.uint8))
    return np.asarray(shared).tobytes().decode().strip()
