"""Messages of commands, and the handling of Ctrl-C during a study."""

import _thread
import contextlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from autodecoder.cli.streams import STDOUT, Console
from autodecoder.config import Range, StudyConfig, Values, format_value
from autodecoder.data import Dataset
from autodecoder.files import finite
from autodecoder.text import count

#: Wider than any table, so that tables keep their natural width and no numbers are cut.
_TABLE_WIDTH = 2000


console: Console = Console()
#: Active blocks that keep standard output for programs. Commands may run in several threads.
_n_aside = 0
# Without a home, Matplotlib reports the folder of its cache. The null handler drops these messages;
# handlers of a calling program still receive them.
logging.getLogger("matplotlib").addHandler(logging.NullHandler())


def wide_console() -> Console:
    """A console for tables."""
    return Console(width=_TABLE_WIDTH, stderr=console.stderr)


@contextlib.contextmanager
def aside(json_: bool) -> Iterator[None]:
    """Send progress and messages to standard error if programs read standard output."""
    global _n_aside
    _n_aside += json_
    console.stderr = _n_aside > 0
    try:
        yield
    finally:
        _n_aside -= json_
        console.stderr = _n_aside > 0


def has_bar() -> bool:
    """Whether to show a bar: only on a terminal, and only in the main thread, as other threads of a
    program may have bars too."""
    alone = threading.current_thread() is threading.main_thread()
    return alone and console.is_interactive and console.file.isatty()


@contextlib.contextmanager
def saying(what: str) -> Iterator[None]:
    """Say on a terminal what takes a while, until the block ends."""
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    with console.status(what, spinner=spinner) if has_bar() else contextlib.nullcontext():
        yield


def print_json(content: Any) -> None:
    """Print a command's result for programs on one line; numbers that are not finite are null."""
    text = json.dumps(finite(content), allow_nan=False, default=str)
    STDOUT.write(f"{text}\n")
    STDOUT.flush()


def print_start(config: StudyConfig, dataset: Dataset, chosen: str | None) -> None:
    """Print the data, the search and the chosen settings, if any, before a study runs."""
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
            "No validation: the metrics val_ and fresh_val_ and pictures of validation images are "
            "missing; trials are ranked by "
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
        console.print("--nouse_xla: compiled without optimisations; slower, for debugging")


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Show the library's warnings above the progress bar."""
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
    """Turn the first signal to end into a request to stop; the next ends at once.

    These are Ctrl-C, that of `kill`, and that of a terminal which is closed.
    """
    requested = False

    def request(_signum: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        console.print("stopping; what is done will be saved (again: at once)")
        for signum in signals:
            signal.signal(signum, signal.default_int_handler)

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one is not known to Windows
    wanted = [getattr(signal, name) for name in names if hasattr(signal, name)]
    with handling(wanted, request) as signals:
        yield lambda: requested


@contextlib.contextmanager
def handling(
    signals: Sequence[signal.Signals], handler: signal.Handlers | Callable[[int, Any], Any]
) -> Iterator[list[signal.Signals]]:
    """Handle these signals until the block ends; yields the signals that are handled.

    Python allows handlers only in the main thread, so in other threads none is handled. An ignored
    signal stays ignored, such as Ctrl-C for background jobs of a script.
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


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):  # also ends what waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


@contextlib.contextmanager
def keeping_interrupts() -> Iterator[None]:
    """Repeat a Ctrl-C that Python drops, in a callback of the garbage collector, and one that made
    the import of a compiled module fail."""
    previous = sys.unraisablehook

    def repeat(dropped: "sys.UnraisableHookArgs") -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, _interrupt).start()  # when the callback has ended
        else:
            previous(dropped)

    sys.unraisablehook = repeat
    try:
        yield
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    finally:
        sys.unraisablehook = previous


def describe(values: Values) -> str:
    """The values of a searched setting, as text."""
    if isinstance(values, Range):
        scale = " (logarithmic)" if values.log else ""
        return f"{values.low:g} to {values.high:g}{scale}"
    return ", ".join(map(format_value, values))
