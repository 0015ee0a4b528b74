"""The kinds of faults, each at random moments, and what came of them."""

import contextlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.bench import (
    HANGS,
    Bench,
    Running,
    can_mount,
    make_read_only,
    make_writable,
    resize,
    small_disk,
)
from tests.torture.work import PACKING, TASKS, TRAINING, TUNING, Task

#: Faults in a row that befall the same folder, before its work may end.
IN_A_ROW = 5
PLENTY = 2**28
#: What an error must say when a disk is full; the second one is SQLite's.
FULL = "No space left|disk is full"


@dataclass
class Record:
    """What came of one kind of fault on one kind of work."""

    fault: str
    work: str
    tried: int = 0
    lost: list[float] = field(default_factory=list)
    """Seconds of work behind the last finished piece, for each fault that cut some off."""
    failures: list[str] = field(default_factory=list)
    """What was lost, damaged, or came out otherwise."""
    skipped: str = ""
    """Why it was not tried."""

    def content(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "lost": [round(seconds, 1) for seconds in sorted(self.lost)]}


@dataclass
class Whole:
    """An undisturbed run."""

    seconds: float
    result: Any


class Torture:
    """All kinds of faults, on one bench."""

    def __init__(self, bench: Bench, say: Callable[[str], None]) -> None:
        self._bench, self._say = bench, say
        self._wholes: dict[str, Whole] = {}

    @property
    def _rng(self) -> random.Random:
        return self._bench.rng

    def _whole(self, task: Task) -> Whole:
        """The undisturbed run of a task, done once; the second of two is timed."""
        if task.name not in self._wholes:
            if not task.is_endless:
                self._run_whole(task)  # compiles
            self._wholes[task.name] = self._run_whole(task)
        return self._wholes[task.name]

    def _run_whole(self, task: Task) -> Whole:
        folder = self._new(task, "whole")
        running = self._start(task, folder)
        running.wait(3.0 if task.is_endless else HANGS)
        seconds = time.monotonic() - running.began
        if task.is_endless:
            running.kill()
        elif running.status != 0:
            raise RuntimeError(f"{task.name} fails undisturbed: {running.said}")
        return Whole(seconds, task.result(folder))

    def _new(self, task: Task, name: str) -> Path:
        folder = self._bench.folder / task.name.replace(" ", "-") / self._bench.new(name).name
        task.prepare(folder)
        return folder

    def _start(self, task: Task, folder: Path, hooks: Sequence[str] = ()) -> Running:
        return self._bench.start(task.command(folder), (*task.hooks, *hooks))

    def killed(self, task: Task, times: int) -> Record:
        """SIGKILL, as of a loss of power or of the kernel when memory is short."""
        return self._struck("SIGKILL", task, times, lambda running: running.kill())

    def told_to_stop(self, name: str, task: Task, times: int) -> Record:
        """SIGINT, SIGTERM and SIGHUP: the process ends by itself."""
        record, number = Record(name, task.name), int(getattr(signal, name))

        def strike(running: Running) -> None:
            running.signal(number)
            if not running.wait():
                record.failures.append("it went on for ten minutes")
                running.kill()
            # Before the package handles signals, the process just ends, or Python with a 1.
            elif running.status not in (0, 1, 130, 128 + number, -number):
                record.failures.append(f"exit status {running.status}: {running.said[-300:]}")

        return self._struck(name, task, times, strike, record)

    def _struck(
        self,
        fault: str,
        task: Task,
        times: int,
        strike: Callable[[Running], None],
        record: Record | None = None,
        hooks: Sequence[str] = (),
    ) -> Record:
        """The same fault so many times, on folders that go on after it until they are done."""
        record = Record(fault, task.name) if record is None else record
        whole = self._whole(task)
        while record.tried < times:
            folder = self._new(task, "struck")
            for _ in range(min(IN_A_ROW, times - record.tried)):
                before = task.finished(folder) if folder.exists() else {}
                began = time.time()
                running = self._start(task, folder, hooks)
                if running.wait(self._rng.uniform(0.05, 1.0) * whole.seconds):
                    break
                strike(running)
                record.tried += 1
                record.lost.append(time.time() - max(began, _newest(folder)))
                self._compare(record, task, folder, before)
            self._finish(record, task, folder, whole, hooks)
            self._say(f"{fault}, {task.name}: {record.tried} of {times}")
        return record

    def _compare(self, record: Record, task: Task, folder: Path, before: Any) -> None:
        """What was finished before a fault must be there afterwards."""
        try:
            after = task.finished(folder) if folder.exists() else {}
        except Exception as error:
            record.failures.append(f"unreadable: {error!r}")
            return
        gone = {key: (n, after.get(key)) for key, n in before.items() if after.get(key, 0) < n}
        if gone:
            record.failures.append(f"lost, of what before and after: {gone}")

    def _finish(
        self, record: Record, task: Task, folder: Path, whole: Whole, hooks: Sequence[str] = ()
    ) -> None:
        """Run to the end, and compare the result with the undisturbed one."""
        if not task.is_endless:
            running = self._start(task, folder, hooks)
            if not running.wait():
                running.kill()
            if running.status != 0:
                record.failures.append(f"exit status {running.status}: {running.said[-500:]}")
                return
        try:
            found = task.result(folder)
        except Exception as error:
            record.failures.append(f"unreadable in the end: {error!r}")
            return
        other = [key for key in whole.result if found.get(key) != whole.result[key]]
        other += [key for key in found if key not in whole.result]
        if other:
            record.failures.append(f"other results: {other[:5]}")

    def full_disk(self, task: Task, times: int) -> Record:
        """A disk that is full at a random moment, and has space again afterwards."""
        record, whole = Record("full disk", task.name), self._whole(task)
        if not can_mount():
            record.skipped = "only root can mount a small disk"
            return record
        needed = _size(self._bench.folder / task.name.replace(" ", "-"))
        for k in range(times):
            folder = self._new(task, "disk")
            size = 4096 * self._rng.randint(4, max(5, needed // 4096))
            with small_disk(folder, size):
                running = self._start(task, folder)
                if not running.wait():
                    record.failures.append("it went on for ten minutes")
                    running.kill()
                if running.status == 0 and self._rng.random() < 0.5:
                    continue  # it has had space enough
                record.tried += 1
                if running.status not in (0, 2):
                    record.failures.append(f"exit status {running.status}: {running.said[-300:]}")
                elif running.status == 2 and not re.search(FULL, running.said):
                    record.failures.append(f"says: {running.said[-300:]}")
                before = task.finished(folder)
                resize(folder, PLENTY)
                self._compare(record, task, folder, before)
                self._finish(record, task, folder, whole)
            self._say(f"full disk, {task.name}: {k + 1} of {times}")
        return record

    def read_only(self, task: Task, times: int) -> Record:
        """A folder that is read-only when work in it goes on, and writable again afterwards."""
        record, whole = Record("folder read-only", task.name), self._whole(task)
        if not can_mount():
            record.skipped = "only root can make a folder read-only to itself"
            return record
        for k in range(times):
            folder = self._new(task, "read-only")
            with small_disk(folder, PLENTY):
                running = self._start(task, folder)
                running.wait(self._rng.uniform(0.05, 1.0) * whole.seconds)
                running.kill()
                make_read_only(folder)
                record.tried += 1
                before = task.finished(folder)
                running = self._start(task, folder)
                running.wait()
                if running.status not in (0, 2):
                    record.failures.append(f"exit status {running.status}: {running.said[-300:]}")
                elif running.status == 2 and "Read-only" not in running.said:
                    record.failures.append(f"says: {running.said[-300:]}")
                make_writable(folder)
                self._compare(record, task, folder, before)
                self._finish(record, task, folder, whole)
            self._say(f"folder read-only, {task.name}: {k + 1} of {times}")
        return record

    def hooked(self, fault: str, hook: str, task: Task, times: int) -> Record:
        """A process with a changed clock or without locks, which is also killed."""
        return self._struck(fault, task, times, lambda running: running.kill(), None, (hook,))

    def crowd(self, task: Task, n: int, times: int) -> Record:
        """Several processes on one folder at once, of which half are killed."""
        record, whole = Record(f"{n} processes", task.name), self._whole(task)
        for k in range(times):
            folder = self._new(task, "crowd")
            running = [self._start(task, folder) for _ in range(n)]
            for one in running[: n // 2]:
                one.wait(self._rng.uniform(0.05, 1.0) * whole.seconds)
                one.kill()
                record.tried += 1
            for one in running[n // 2 :]:
                one.wait()
                if one.status != 0:
                    record.failures.append(f"exit status {one.status}: {one.said[-300:]}")
            self._finish(record, task, folder, whole)
            self._say(f"{n} processes, {task.name}: {k + 1} of {times}")
        return record

    def short_of_memory(self, task: Task, times: int) -> Record:
        """An allocator that refuses: the error names the settings to lower."""
        record = Record("out of memory", task.name)
        for _ in range(times):
            folder = self._new(task, "memory")
            command = [word.replace("=16", "=12000-12000") for word in task.command(folder)]
            running = self._bench.start(command, (*task.hooks, "with_little_memory"))
            running.wait()
            record.tried += 1
            if running.status != 2 or "lower " not in running.said:
                record.failures.append(f"exit status {running.status}: {running.said[-300:]}")
        return record


def all_faults(torture: Torture, times: int) -> Iterator[tuple[str, Callable[[], Record]]]:
    """Each kind of fault on each kind of work, by name."""
    few = max(1, times // 10)
    for task in TASKS:
        yield f"SIGKILL, {task.name}", lambda task=task: torture.killed(task, times)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            yield name, lambda name=name: torture.told_to_stop(name, TRAINING, times)
    for task in (TRAINING, PACKING):
        yield f"full disk, {task.name}", lambda task=task: torture.full_disk(task, times)
        yield f"read-only, {task.name}", lambda task=task: torture.read_only(task, few)
    for fault, hook in (("clock jumps", "with_jumping_clock"), ("no locks", "without_locks")):
        yield (
            fault,
            lambda fault=fault, hook=hook: torture.hooked(fault, hook, TUNING, few),
        )
    for n in (2, 8):
        yield f"{n} processes", lambda n=n: torture.crowd(TUNING, n, few)
    yield "out of memory", lambda: torture.short_of_memory(TRAINING, 1)


def _newest(folder: Path) -> float:
    """When the newest file of a folder that is not a temporary one was written."""
    times = [0.0]
    for path in folder.rglob("*"):
        if not path.name.startswith("."):
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
    return max(times)


def _size(folder: Path) -> int:
    """The bytes of the largest result in a folder, in whole blocks."""
    return max(
        sum(
            -(-path.stat().st_size // 4096) * 4096
            for path in one.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        for one in folder.iterdir()
        if one.is_dir()
    )
