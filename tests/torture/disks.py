"""Disks that are full, and folders that become read-only."""

import re
import time
from pathlib import Path

from tests.torture.bench import (
    HANGS,
    can_mount,
    free_bytes,
    make_read_only,
    make_writable,
    resize,
    small_disk,
)
from tests.torture.record import Record
from tests.torture.trials import Torture, most
from tests.torture.work import Task

#: Bytes of a disk that has space enough.
PLENTY = 2**28
_BLOCK = 4096
#: What an error must say when a disk is full; the second one is SQLite's.
FULL = "No space left|disk is full"
READ_ONLY = "Read-only|readonly"
#: Seconds that an endless task gets to fill its disk, or to notice that it is read-only.
_PATIENCE = 15.0
#: Seconds between two looks at what a command has finished on a disk that becomes full.
_EVERY = 0.5


def full_disk(torture: Torture, task: Task, times: int) -> Record:
    """A disk that is full at a random moment, and has space again afterwards."""
    how = "a small file system, which becomes full at a random moment and has space afterwards"
    record = Record("full disk", task.name, how)
    if not can_mount():
        record.skipped = "no small file system can be mounted here"
        return record
    torture.whole(task)
    needed = _blocks(torture.place(task))
    while record.lacks(times):
        folder = torture.new(task)
        with small_disk(folder, PLENTY):
            task.prepare(folder)
            taken = PLENTY - free_bytes(folder)
            resize(folder, taken + _BLOCK * torture.rng.randint(4, max(5, needed)))
            running, before = torture.start(task, folder), {}
            until = time.monotonic() + (_PATIENCE if task.is_endless else HANGS)
            while not running.wait(_EVERY) and time.monotonic() < until:
                before = most(before, torture.seen(task, folder))
            is_full = free_bytes(folder) == 0
            if task.is_endless and running.status is None and not is_full:
                running.kill()
                record.unstruck += 1
                continue
            torture.end(record, running)
            record.check(running, {0: "", 2: FULL})
            if running.status == 0 and not is_full and not re.search(FULL, running.said):
                record.unstruck += 1  # it has had space enough
            else:
                record.tried += 1
            resize(folder, PLENTY)
            torture.compare(record, task, folder, before)
            torture.finish(record, task, folder)
        torture.tell(record, times)
    return record


def read_only(torture: Torture, task: Task, times: int) -> Record:
    """A folder that becomes read-only under a process, stays so for another, and is writable again
    afterwards."""
    how = (
        "the folder becomes read-only under a running process (files that are open stay writable), "
        "stays so for the next one, and is writable afterwards"
    )
    record = Record("folder read-only", task.name, how)
    if not can_mount():
        record.skipped = "no small file system can be mounted here"
        return record
    torture.whole(task)
    while record.lacks(times):
        folder = torture.new(task)
        with small_disk(folder, PLENTY):
            task.prepare(folder)
            running = torture.start(task, folder)
            if running.wait(torture.moment(task)):
                record.check(running, {0: ""})
                record.unstruck += 1
                continue
            make_read_only(folder)
            before = torture.seen(task, folder)
            torture.end(record, running)
            record.check(running, {0: "", 2: READ_ONLY})
            if re.search(READ_ONLY, running.said):
                record.tried += 1
            else:  # it had nothing to write any more
                record.unstruck += 1
            running = torture.start(task, folder)
            torture.end(record, running)
            record.check(running, {0: "", 2: READ_ONLY})
            make_writable(folder)
            torture.compare(record, task, folder, before)
            torture.finish(record, task, folder)
        torture.tell(record, times)
    return record


def _blocks(place: Path) -> int:
    """The blocks of the largest result of a task."""
    return max(
        sum(
            -(-path.stat().st_size // _BLOCK)
            for path in one.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        for one in place.iterdir()
        if one.is_dir()
    )
