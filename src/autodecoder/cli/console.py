"""What the terminal shows while a study runs, and how Ctrl-C reaches it."""

import contextlib
import json
import logging
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as ProgressBar,
)
from rich.text import Text

from autodecoder.config import Range, StudyConfig, Values, format_value
from autodecoder.data import Dataset
from autodecoder.study import Progress
from autodecoder.text import printable

#: Wider than any table: each takes the width that it needs, rather than lose its numbers.
_TABLE_WIDTH = 2000


class _Console(Console):
    """Goes on without output where a reader such as `head` has left: the run matters more.

    What it is given to print, in tables too, may come from somebody else's file: it steers no
    terminal.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, kept="\n"), **options)

    def on_broken_pipe(self) -> None:
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()


console = _Console(soft_wrap=True, markup=False)


def wide_console() -> Console:
    """For tables."""
    return _Console(width=_TABLE_WIDTH, soft_wrap=True, markup=False, stderr=console.stderr)


@contextlib.contextmanager
def aside(json_: bool) -> Iterator[None]:
    """Progress and messages go to standard error where programs read standard output."""
    before = console.stderr
    console.stderr = json_ or before
    try:
        yield
    finally:
        console.stderr = before


def print_json(content: Any) -> None:
    """A command's result for programs, in one line; what is no finite number is null."""
    text = json.dumps(_finite(content), allow_nan=False, default=str)
    _Console(soft_wrap=True).print(text, highlight=False, emoji=False, markup=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def print_start(config: StudyConfig, dataset: Dataset) -> None:
    """Say what is about to run."""
    search = config.search
    n_val = f"{len(dataset.val):,}" if len(dataset.val) else "no"
    console.print(
        f"{dataset.name}: {len(dataset.train):,} training and {n_val} validation images of "
        f"{' × '.join(map(str, dataset.image_shape))}",
        highlight=False,
    )
    if dataset.notes:
        console.print("; ".join(dataset.notes), highlight=False)
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
def study_progress() -> Iterator[Callable[[Progress], None]]:
    """A progress bar, and the function that moves it."""
    bar = ProgressBar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[metrics]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("compiling", total=None, metrics="")

        def report(progress: Progress) -> None:
            if progress.stage == "wait":
                bar.reset(task, description="waiting for another process", total=None, metrics="")
                return
            if progress.stage == "compile":
                bar.reset(task, description="compiling", total=None, metrics="")
                return
            if progress.stage == "fit":
                text = f"epoch {progress.epoch}/{progress.num_epochs}"
                metrics = f"loss {progress.loss:.4f}"
                if math.isfinite(progress.val_loss):  # as it is but without validation images
                    metrics += f"  val_loss {progress.val_loss:.4f}"
                bar.update(task, description=text, metrics=metrics)
            else:
                text = f"fresh validation {progress.done + 1}/{progress.total}"
                bar.update(task, description=text)
            bar.update(task, completed=progress.done, total=progress.total)

        yield report


@contextlib.contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over images, and the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), TimeRemainingColumn())
    bar = ProgressBar(
        *columns,
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,  # else it leaves an empty line
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


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
    previous = {signum: signal.signal(signum, request) for signum in signals}
    try:
        yield lambda: requested
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def describe(values: Values) -> str:
    """The values of a setting that is searched."""
    if isinstance(values, Range):
        scale = " (logarithmic)" if values.log else ""
        return f"{values.low:g} to {values.high:g}{scale}"
    return ", ".join(map(format_value, values))


def count(n: int, thing: str) -> str:
    """So many things."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
