"""What commands say, and how Ctrl-C reaches a study."""

import contextlib
import json
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from autodecoder.cli.streams import STDOUT, Console
from autodecoder.config import Range, StudyConfig, Values, format_value
from autodecoder.data import Dataset
from autodecoder.text import count

#: Wider than any table: each takes the width that it needs, rather than lose its numbers.
_TABLE_WIDTH = 2000


console = Console()
#: Blocks under way that keep standard output for programs: commands may run in several threads.
_n_aside = 0
# Matplotlib tells where it keeps its cache instead, where that has no home; a caller's own handlers
# still have all that it says.
logging.getLogger("matplotlib").addHandler(logging.NullHandler())


def wide_console() -> Console:
    """For tables."""
    return Console(width=_TABLE_WIDTH, stderr=console.stderr)


@contextlib.contextmanager
def aside(json_: bool) -> Iterator[None]:
    """Progress and messages go to standard error where programs read standard output."""
    global _n_aside
    _n_aside += json_
    console.stderr = _n_aside > 0
    try:
        yield
    finally:
        _n_aside -= json_
        console.stderr = _n_aside > 0


def print_json(content: Any) -> None:
    """A command's result for programs, in one line; what is no finite number is null."""
    text = json.dumps(_finite(content), allow_nan=False, default=str)
    STDOUT.write(f"{text}\n")
    STDOUT.flush()


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def print_start(config: StudyConfig, dataset: Dataset, chosen: str | None) -> None:
    """Say what is about to run, and which settings were chosen for it, if any."""
    search = config.search
    n_val = f"{len(dataset.val):,}" if len(dataset.val) else "no"
    console.print(
        f"{dataset.name}: {len(dataset.train):,} training and {n_val} validation images of "
        f"{' × '.join(map(str, dataset.image_shape))}",
        highlight=False,
    )
    if dataset.notes:
        console.print("; ".join(dataset.notes), highlight=False)
    if chosen:
        console.print(chosen, highlight=False)
    if not len(dataset.val):
        console.print(
            "Nothing is validated: there are no metrics val_ and fresh_val_, and no pictures of "
            "validation images; trials are ranked by "
            f"{config.with_objective(0).metric}.",
            highlight=False,
        )
    searched = "; ".join(
        f"{name.replace('_', ' ')} {describe(search.space[name])}" for name in config.searched
    )
    drawn = "" if search.sampler == "grid" else f"; {search.n_trials} trials by {search.sampler}"
    console.print(
        f"{searched}{drawn}; {count(config.executions_per_trial, 'execution')} each, "
        f"{count(config.fit.num_epochs, 'epoch')}, seed {config.seed}",
        highlight=False,
    )
    if not config.use_xla:
        console.print("--nouse_xla: compiled without optimisations, slower, meant for debugging")


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Show the library's warnings beside the progress bar."""
    handler = _Handler(logging.WARNING)
    logger = logging.getLogger("autodecoder")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        console.print(f"{record.levelname.lower()}: {record.getMessage()}", highlight=False)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or termination) into a polite request; the next one ends at once."""
    requested = False

    def request(_signum: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        console.print("stopping; what is done will be saved (again: at once)")
        for signum in signals:
            signal.signal(signum, signal.default_int_handler)

    signals = (signal.SIGINT, signal.SIGTERM)
    with handling(signals, request) as signals:
        yield lambda: requested


@contextlib.contextmanager
def handling(
    signals: Sequence[signal.Signals], handler: signal.Handlers | Callable[[int, Any], Any]
) -> Iterator[list[signal.Signals]]:
    """Handle those signals that may be handled, until the block ends.

    They are none in a thread of another program, where Python allows it in the main thread only.
    A signal that is ignored stays so, as Ctrl-C is by jobs in the background of a script.
    """
    previous = {}
    if threading.current_thread() is threading.main_thread():
        known = {signum: signal.getsignal(signum) for signum in signals}
        previous = {s: old for s, old in known.items() if old not in (signal.SIG_IGN, None)}
    for signum in previous:
        signal.signal(signum, handler)
    try:
        yield list(previous)
    finally:
        for signum, old in previous.items():
            signal.signal(signum, old)


def describe(values: Values) -> str:
    """The values of a setting that is searched."""
    if isinstance(values, Range):
        scale = " (logarithmic)" if values.log else ""
        return f"{values.low:g} to {values.high:g}{scale}"
    return ", ".join(map(format_value, values))
