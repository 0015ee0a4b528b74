"""Memory that is not enough: known before a fit, or told by the allocator."""

import re

from tests.torture.record import Record
from tests.torture.trials import Torture
from tests.torture.work import HUGE, WIDE

#: MiB beyond what the libraries take; the fit of `WIDE` takes about 2500.
_LEAST, _MOST = 700, 2200
#: What the error says, and what is said when a batch is halved.
LOWER = "(?s)memory.*lower "
HALVED = "batch_size is now"


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
    while record.tried < times and record.unstruck < 9 + 3 * times:
        folder = torture.prepared(WIDE)
        running = torture.start(WIDE, folder, [_limit(torture)])
        torture.end(record, running)
        record.check(running, {0: "", 2: LOWER})
        record.tried += running.status != 0
        record.unstruck += running.status == 0  # it has had memory enough
        torture.finish(record, WIDE, folder)
        torture.say(f"out of memory: {record.tried} of {times}")
    return record


def auto_batch(torture: Torture, times: int) -> Record:
    """A limit of the process with `--auto_batch`, which halves the batch and goes on."""
    how = "an allocation fails by such a limit; the batch is halved until the study ends"
    record = Record("out of memory, `--auto_batch`", WIDE.name, how)
    while record.tried < times and record.unstruck < 9 + 3 * times:
        folder = torture.prepared(WIDE)
        running = torture.start(WIDE, folder, [_limit(torture)], ["--auto_batch"])
        torture.end(record, running)
        record.check(running, {0: "", 2: LOWER})
        if not re.search(HALVED, running.said):
            record.unstruck += 1  # enough memory, or too little for anything
            continue
        record.tried += 1
        if running.status != 0:  # what follows the fit can need more than the halved batch
            running = torture.start(WIDE, folder, flags=["--auto_batch"])
            torture.end(record, running)
            record.check(running, {0: ""})
        if min(torture.finished(record, WIDE, folder).values(), default=0) < 1:
            record.failures.append("no epoch was kept")
        torture.say(f"out of memory with --auto_batch: {record.tried} of {times}")
    return record


def _limit(torture: Torture) -> str:
    return f"with_memory:{torture.rng.randint(_LEAST, _MOST)}"
