"""Trials of faults: folders, processes, and comparisons with an undisturbed run."""

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.bench import HANGS, Bench, Running
from tests.torture.record import Record
from tests.torture.work import Finished, Task

#: Faults in a row in the same folder, before its work may end.
IN_A_ROW = 5
#: Does its fault to a process; returns whether the process was still at work.
Strike = Callable[[Running], bool]


@dataclass
class Whole:
    """An undisturbed run."""

    seconds: float
    result: Any


class Torture:
    """Runs commands on one bench, and compares what becomes of them."""

    def __init__(
        self,
        bench: Bench,
        say: Callable[[str], None],
        keep: Callable[[Record], object] = lambda record: None,
    ) -> None:
        self._bench, self._say, self._keep = bench, say, keep
        self._wholes: dict[str, Whole] = {}

    @property
    def rng(self) -> random.Random:
        """Draws the moments."""
        return self._bench.rng

    def tell(self, record: Record, times: int) -> None:
        """Tell how far a kind of fault is, and keep its results so far."""
        self._say(f"{record.fault}, {record.work}: {record.tried} of {times}")
        self._keep(record)

    def moment(self, task: Task) -> float:
        """Seconds from the start of a command to a random moment before its end."""
        return self.rng.uniform(0.05, 1.0) * self.whole(task).seconds

    def whole(self, task: Task) -> Whole:
        """The undisturbed run of a task, done once; the second of two is timed."""
        if task.name not in self._wholes:
            if not task.is_endless:
                self._run_whole(task)  # compiles
            self._wholes[task.name] = self._run_whole(task)
        return self._wholes[task.name]

    def _run_whole(self, task: Task) -> Whole:
        folder = self.prepared(task)
        running = self.start(task, folder)
        running.wait(3.0 if task.is_endless else HANGS)
        seconds = time.monotonic() - running.began
        if task.is_endless:
            running.kill()
        elif running.status != 0:
            raise RuntimeError(f"{task.name} fails undisturbed: {running.said}")
        return Whole(seconds, task.result(folder))

    def place(self, task: Task) -> Path:
        """All folders of a task."""
        return self._bench.folder / task.name.replace(" ", "-")

    def new(self, task: Task) -> Path:
        """A folder for a task, which is not there yet."""
        return self.place(task) / self._bench.new("folder").name

    def prepared(self, task: Task) -> Path:
        """A folder in which a task can begin."""
        folder = self.new(task)
        task.prepare(folder)
        return folder

    def start(
        self, task: Task, folder: Path, hooks: Sequence[str] = (), flags: Sequence[str] = ()
    ) -> Running:
        """Start the command of a task."""
        return self._bench.start((*task.command(folder), *flags), (*task.hooks, *hooks))

    def end(self, record: Record, running: Running) -> None:
        """Wait for the end; a process that hangs is a failure."""
        if not running.wait():
            record.failures.append("it went on for ten minutes")
            running.kill()

    def strike(
        self,
        record: Record,
        task: Task,
        times: int,
        strike: Strike,
        hooks: Sequence[str] = (),
        between: Callable[[Path], None] = lambda folder: None,
    ) -> Record:
        """Repeat a fault in folders that go on after it until they are done.

        A command that ends with an error before its fault is a failure: it did not go on.
        """
        while record.lacks(times):
            folder = self.prepared(task)
            for _ in range(min(IN_A_ROW, times - record.tried)):
                before = self.finished(record, task, folder)
                began = time.time()
                running = self.start(task, folder, hooks)
                has_ended = running.wait(self.moment(task))
                if not has_ended:
                    before = most(before, self.seen(task, folder))
                if has_ended or not strike(running):
                    record.unstruck += 1
                    record.check(running, {0: ""})
                    break
                record.tried += 1
                record.lost.append(time.time() - max(began, _newest(folder)))
                self.compare(record, task, folder, before)
                between(folder)
            self.finish(record, task, folder, hooks)
            self.tell(record, times)
        return record

    def seen(self, task: Task, folder: Path) -> Finished:
        """What a folder holds while a command works in it; nothing if it cannot be read then."""
        with contextlib.suppress(Exception):
            return task.finished(folder) if folder.exists() else {}
        return {}

    def finished(self, record: Record, task: Task, folder: Path) -> Finished:
        """What a folder holds so far; a failure if something in it is damaged."""
        try:
            return task.finished(folder) if folder.exists() else {}
        except Exception as error:
            record.failures.append(f"unreadable: {error!r}")
            return {}

    def compare(self, record: Record, task: Task, folder: Path, before: Finished) -> None:
        """What was finished before a fault must be there afterwards."""
        after = self.finished(record, task, folder)
        gone = {key: (n, after.get(key)) for key, n in before.items() if after.get(key, 0) < n}
        if gone:
            record.failures.append(f"lost, of what before and after: {gone}")

    def finish(self, record: Record, task: Task, folder: Path, hooks: Sequence[str] = ()) -> None:
        """Run to the end, and compare the result with the undisturbed one.

        The folder of a result that is right is removed.
        """
        n_failures = len(record.failures)
        self._finish(record, task, folder, hooks)
        if len(record.failures) == n_failures:
            shutil.rmtree(folder, ignore_errors=True)

    def _finish(self, record: Record, task: Task, folder: Path, hooks: Sequence[str]) -> None:
        if not task.is_endless:
            running = self.start(task, folder, hooks)
            self.end(record, running)
            if not record.check(running, {0: ""}):
                return
        try:
            found = task.result(folder)
        except Exception as error:
            record.failures.append(f"unreadable in the end: {error!r}")
            return
        wanted = self.whole(task).result
        other = [key for key in wanted if found.get(key) != wanted[key]]
        other += [key for key in found if key not in wanted]
        if other:
            record.failures.append(f"other results: {other[:5]}")


def most(one: Finished, other: Finished) -> Finished:
    """The larger number of each piece of work."""
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in {**one, **other}}


def _newest(folder: Path) -> float:
    """When the newest file of a folder that is not a temporary one was written.

    Files of the future are passed over: their times were changed.
    """
    times, now = [0.0], time.time()
    for path in folder.rglob("*"):
        if not path.name.startswith("."):
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
    return max(moment for moment in times if moment <= now)
