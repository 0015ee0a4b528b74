"""Feeding inputs to a target, and noting what must not happen: crashes, hangs, much memory."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.target import Target

from autodecoder.errors import AutodecoderError
from autodecoder.text import printable

try:
    import resource
except ImportError:  # Windows, where memory is not measured
    resource = None

#: Longest time that one input may take, in seconds.
LONGEST = 5.0
#: Memory that an input may take for each of its bytes.
PER_BYTE = 64
#: Inputs after which the peak is reset although it has not grown, since memory was given back.
_OFTEN = 64
#: Longest message, in characters.
_LONGEST_TEXT = 2000
#: Most findings that are kept of one target, each at another place.
_MOST = 20
#: Most bytes of an input that a finding keeps.
KEPT = 2**16


class Hang(BaseException):
    """An input took too long. Readers catch many an `Exception`, but not this one."""


@dataclass(frozen=True)
class Finding:
    """An input that a reader neither takes nor refuses as it should."""

    what: str
    """The error with its place, or the time or memory that the input took."""
    content: bytes
    """The first bytes of the input."""
    n_bytes: int

    def to_plain(self) -> dict[str, Any]:
        return {"what": self.what, "n_bytes": self.n_bytes, "input": self.content.hex()}


@dataclass
class Watch:
    """Counts, times and findings of the inputs of one target."""

    target: Target
    most_seconds: float = LONGEST
    """Time that one input may take."""
    inputs: int = 0
    refused: int = 0
    """Inputs that the reader refused in a sentence."""
    longest: float = 0.0
    """Seconds of the slowest input."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """One for each kind and place of an error."""
    most_grown: int = 0
    """Most memory that one input took, in bytes."""
    _peak: int = field(default_factory=lambda: reset_peak())
    """The peak of the memory before an input."""

    def feed(self, content: bytes) -> None:
        """Read one input; what goes wrong becomes a finding."""
        self.inputs += 1
        start = time.perf_counter()
        try:
            with _limited(2 * self.most_seconds):
                self.target.read(content)
        except KeyboardInterrupt:
            raise
        except AutodecoderError as error:
            self.refused += 1
            if (text := unfit(error)) is not None:
                self._note(_place(error), f"{text} ({_place(error)})", content)
        except BaseException as error:
            self._note(_place(error), _tell(error), content)
        took = time.perf_counter() - start
        self.longest = max(self.longest, took)
        if took > self.most_seconds:
            self._note("time", f"took {took:.1f} s", content)
        grown = peak_memory() - self._peak
        if grown > 0:
            self.most_grown = max(self.most_grown, grown)
            limit = self.target.most_bytes + PER_BYTE * len(content)
            if self.inputs > 1 and grown > limit:  # the first one loads libraries
                self._note("memory", f"took {grown / 2**20:.0f} MiB of memory", content)
        if grown > 0 or self.inputs % _OFTEN == 0:
            self._peak = reset_peak()

    def _note(self, place: str, what: str, content: bytes) -> None:
        if len(self.findings) < _MOST:
            self.findings.setdefault(place, Finding(what, content[:KEPT], len(content)))

    def to_plain(self, seconds: float) -> dict[str, Any]:
        """The result of a run of `seconds` seconds."""
        return {
            "inputs": self.inputs,
            "refused": self.refused,
            "seconds": round(seconds, 2),
            "inputs_per_second": round(self.inputs / max(seconds, 1e-9), 1),
            "peak_memory_growth_mib": round(self.most_grown / 2**20, 1),
            "memory_limit_mib": round(self.target.most_bytes / 2**20),
            "longest_input_seconds": round(self.longest, 3),
            "findings": [finding.to_plain() for finding in self.findings.values()],
        }


def unfit(error: AutodecoderError) -> str | None:
    """Why a message cannot be shown to a user; `None` if it can."""
    text = str(error)
    if not 0 < len(text) <= _LONGEST_TEXT:
        return f"a message of {len(text)} characters"
    return None if printable(text) == text else f"a message that cannot be printed: {text!r}"


def peak_memory() -> int:
    """The most memory that this process has had since `reset_peak`, in bytes; 0 if it is not known.

    Where the system cannot reset it, this is the most since the start of the process.
    """
    if _STATUS is not None:
        status = os.pread(_STATUS, 4096, 0)  # open all the time: this is called for each input
        at = status.index(b"VmHWM:") + 6
        return 1024 * int(status[at : at + 24].split()[0])
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def reset_peak() -> int:
    """Set the peak to the memory that the process has now; returns it."""
    if _STATUS is not None:
        os.write(_CLEAR, b"5")
    return peak_memory()


def _open_files() -> tuple[int | None, int]:
    """The files of Linux that tell the peak and reset it; `None` where it cannot be reset."""
    try:
        clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        return os.open("/proc/self/status", os.O_RDONLY), clear
    except OSError:
        return None, -1


_STATUS, _CLEAR = _open_files()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without warnings and log messages, which damaged files cause by the million."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `Hang` after this time, where the system has such alarms."""
    has_alarm = hasattr(signal, "setitimer")
    if not has_alarm or threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stop(number: int, frame: Any) -> None:
    raise Hang("an input took too long")


def _tell(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]} ({_place(error)})"


def _place(error: BaseException) -> str:
    """The type of an error, and the innermost line of the project that it passed."""
    lines = traceback.extract_tb(error.__traceback__)
    ours = [line for line in lines if "autodecoder" in line.filename] or lines
    place = f"{ours[-1].filename.rpartition('/')[2]}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {place}"
