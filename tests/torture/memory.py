"""Memory that is not enough: known before a fit, or told by the allocator."""

import re
import signal

from tests.torture.bench import Running
from tests.torture.record import Record
from tests.torture.trials import Torture
from tests.torture.work import HUGE, WIDE

#: MiB beyond what the libraries take; the fit of `WIDE` takes about 2500.
_LEAST, _MOST = 1000, 1800
#: What the error says, and what is said when a batch is halved.
LOWER = "(?s)memory.*lower "
HALVED = "batch_size is now"
#: What XLA says when it ends the process itself.
_ABORTED = "bad_alloc|Cannot allocate memory"
_RIGHT = {0: "", 2: LOWER, -signal.SIGABRT: _ABORTED}
_OUTCOMES = {
    0: "ended with a smaller batch",
    2: "ended with the message",
    -signal.SIGABRT: "were ended by XLA, which could not allocate memory for its own use",
}


def refused_memory(torture: Torture, times: int) -> Record:
    """Weights beyond the memory: the fit is refused, and the error names the settings to lower."""
    how = "the weights need more than is free, which is compared before the fit"
    record = Record("out of memory, foreseen", HUGE.name, how)
    for _ in range(times):
        running = torture.start(HUGE, torture.prepared(HUGE), ["with_memory:512"])
        torture.end(record, running)
        record.tried += 1
        record.check(running, {2: LOWER})
    return record


def no_memory(torture: Torture, times: int) -> Record:
    """A limit of the process makes allocations fail; without the limit the study goes on."""
    how = (
        "a random limit of the process (RLIMIT_AS) makes an allocation fail; the error names the "
        "settings to lower, and without the limit the same command ends as undisturbed"
    )
    record = Record("out of memory", WIDE.name, how)
    torture.whole(WIDE)
    while record.lacks(times):
        folder = torture.prepared(WIDE)
        running = torture.start(WIDE, folder, [_limit(torture)])
        torture.end(record, running)
        if running.status == 0:  # it has had memory enough
            record.unstruck += 1
            record.check(running, _RIGHT)
        else:
            _count(record, running)
        torture.finish(record, WIDE, folder)
        torture.tell(record, times)
    return record


def auto_batch(torture: Torture, times: int) -> Record:
    """A limit of the process with `--auto_batch`, which halves the batch and goes on."""
    how = (
        "the same with `--auto_batch`, which halves the batch and goes on; where that does not "
        "help, the same command ends without the limit"
    )
    record = Record("out of memory, `--auto_batch`", WIDE.name, how)
    while record.lacks(times):
        folder = torture.prepared(WIDE)
        running = torture.start(WIDE, folder, [_limit(torture)], ["--auto_batch"])
        torture.end(record, running)
        if not re.search(HALVED, running.said):  # enough memory, or too little for anything
            record.unstruck += 1
            record.check(running, _RIGHT)
            continue
        _count(record, running)
        if running.status != 0:
            running = torture.start(WIDE, folder, flags=["--auto_batch"])
            torture.end(record, running)
            record.check(running, {0: ""})
        if min(torture.finished(record, WIDE, folder).values(), default=0) < 1:
            record.failures.append("no epoch was kept")
        torture.tell(record, times)
    return record


def _count(record: Record, running: Running) -> None:
    record.tried += 1
    if record.check(running, _RIGHT) and running.status is not None:
        record.note(_OUTCOMES[running.status])


def _limit(torture: Torture) -> str:
    return f"with_memory:{torture.rng.randint(_LEAST, _MOST)}"
