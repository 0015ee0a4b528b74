"""The kinds of faults, each at random moments."""

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.torture.bench import Running, jump_times
from tests.torture.disks import full_disk, read_only
from tests.torture.memory import auto_batch, no_memory, refused_memory
from tests.torture.record import Record
from tests.torture.trials import Torture
from tests.torture.work import LOGGED, PACKING, SAVING, TASKS, TRAINING, TUNING, Task

#: How a process ends at a signal. It ends at once as long as Python or the package still starts.
_KEPT, _AT_ONCE = "ended by themselves and told so", "ended at once, before signals were handled"
#: So many faults must show that signals are handled.
_ENOUGH = 10


def killed(torture: Torture, task: Task, times: int) -> Record:
    """SIGKILL: a process ends at once, as of the kernel when memory is short."""
    return _killed(torture, Record("SIGKILL", task.name), task, times)


def _killed(
    torture: Torture,
    record: Record,
    task: Task,
    times: int,
    hooks: Sequence[str] = (),
    between: Callable[[Path], None] = lambda folder: None,
) -> Record:
    def strike(running: Running) -> bool:
        running.kill()
        return running.status == -signal.SIGKILL

    return torture.strike(record, task, times, strike, hooks, between)


def told_to_stop(torture: Torture, name: str, task: Task, times: int) -> Record:
    """SIGINT, SIGTERM and SIGHUP: the process ends by itself."""
    record, number = Record(name, task.name), int(getattr(signal, name))
    # Before the package handles signals, the process just ends, or Python with a 1.
    allowed = {0: "", 1: "KeyboardInterrupt", 130: "(?i)interrupted", -number: ""}

    def strike(running: Running) -> bool:
        running.signal(number)
        torture.end(record, running)
        if running.status == 0:  # it came too late, or where Python ignores errors
            return False
        record.check(running, allowed)
        record.note(_KEPT if running.status == 130 else _AT_ONCE)
        return True

    torture.strike(record, task, times, strike)
    if record.tried >= _ENOUGH and not record.outcomes.get(_KEPT):
        record.failures.append("no process told that it was interrupted: is the signal handled?")
    return record


def jumping_clock(torture: Torture, task: Task, times: int) -> Record:
    """A clock that jumps, and files whose times are wrong; the process is also killed."""
    how = (
        "`time.time`, `time.time_ns` and `datetime.now` of Python jump by up to a month at each "
        "call, back and forth, and after each SIGKILL so do the times of all files of the study; "
        "the clock of the machine is not changed"
    )
    return _killed(
        torture,
        Record("clock jumps", task.name, how),
        task,
        times,
        hooks=("with_jumping_clock",),
        between=lambda folder: jump_times(folder, torture.rng),
    )


def no_locks(torture: Torture, task: Task, times: int) -> Record:
    """A file system without locks; the process is also killed."""
    how = "the functions of Python for locks fail, as on a file system without locks; also SIGKILL"
    record = Record("no locks", task.name, how)
    return _killed(torture, record, task, times, hooks=("without_locks",))


def crowd(torture: Torture, task: Task, n: int, times: int) -> Record:
    """Several processes in one folder at once, of which half are killed."""
    how = "so many processes share a study; half of them get SIGKILL, the others take over"
    record = Record(f"{n} processes", task.name, how)
    torture.whole(task)
    while record.tried < times and record.unstruck < 9 + times:
        folder, n_killed = torture.prepared(task), 0
        running = [torture.start(task, folder) for _ in range(n)]
        for one in running[: n // 2]:
            if not one.wait(torture.moment(task)):
                one.kill()
            n_killed += one.status == -signal.SIGKILL
            record.check(one, {0: "", -signal.SIGKILL: ""})
        for one in running[n // 2 :]:
            torture.end(record, one)
            record.check(one, {0: ""})
        record.tried += n_killed > 0
        record.unstruck += n_killed == 0
        torture.finish(record, task, folder)
        torture.tell(record, times)
    return record


class Kind(NamedTuple):
    """A kind of fault on a kind of work."""

    name: str
    times: int
    strike: Callable[[Torture], Record]


def all_faults(times: int) -> Iterator[Kind]:
    """Each kind of fault on each kind of work, so many times; slow ones a tenth as often."""

    def kind(name: str, strike: Callable[..., Record], often: int, /, **on: Any) -> Kind:
        return Kind(name, often, partial(strike, times=often, **on))

    few = max(1, times // 10)
    for task in TASKS:
        yield kind(f"SIGKILL, {task.name}", killed, times, task=task)
    for task in (TRAINING, TUNING):
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                yield kind(f"{name}, {task.name}", told_to_stop, times, name=name, task=task)
    for task in (TRAINING, TUNING, PACKING, SAVING):
        yield kind(f"full disk, {task.name}", full_disk, times, task=task)
        yield kind(f"read-only, {task.name}", read_only, few, task=task)
    yield kind("clock jumps", jumping_clock, few, task=LOGGED)
    yield kind("no locks", no_locks, few, task=TUNING)
    for n in (2, 8):
        yield kind(f"{n} processes", crowd, few, task=TUNING, n=n)
    yield kind("out of memory", refused_memory, 1)
    yield kind("out of memory, allocator", no_memory, few)
    yield kind("out of memory, auto_batch", auto_batch, few)
