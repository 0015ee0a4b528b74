"""Progress of a command: a bar on a terminal, otherwise a line at intervals."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from rich.progress import (
    BarColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.text import Text

from autodecoder.cli.console import console, has_bar
from autodecoder.study import Progress
from autodecoder.study.progress import UNTIMED, describe_progress

#: Interval between two lines if there is no bar, and time until the first line.
SECONDS_BETWEEN_LINES, SECONDS_TO_FIRST_LINE = 30.0, 10.0


@contextlib.contextmanager
def study_progress() -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a study; yields the function that reports it."""
    if not has_bar():
        lines, groups = _Lines(), dict[int, None]()

        def tell(progress: Progress) -> None:
            if progress.stage == "end":
                groups.pop(progress.group, None)
                return
            groups[progress.group] = None
            text = "  ".join(filter(None, (_name(progress, groups), *describe_progress(progress))))
            lines.tell(text, progress.done, progress.total, progress.group)

        yield tell
        return
    bar = ProgressBar(
        SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
        TextColumn("{task.fields[name]}{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[metrics]}"),
        _Left(),
        console=console,
        transient=True,
    )
    with bar:
        tasks: dict[int, TaskID] = {}

        def report(progress: Progress) -> None:
            text, metrics = describe_progress(progress)
            if progress.stage == "end":
                if progress.group in tasks:
                    bar.remove_task(tasks.pop(progress.group))
                return
            if progress.group not in tasks:
                tasks[progress.group] = bar.add_task(text, total=None, metrics="", name="")
            task = tasks[progress.group]
            name = f"{_name(progress, tasks)}  ".lstrip()
            if progress.stage in UNTIMED:
                bar.reset(task, description=text, total=None, metrics=metrics, name=name)
                return
            total = progress.total
            bar.update(task, description=text, completed=progress.done, total=total, name=name)
            if progress.stage == "fit":
                bar.update(task, metrics=metrics)

        yield report


def _name(progress: Progress, groups: Mapping[int, object]) -> str:
    """The name of the group, if several run at once."""
    return f"group {progress.group + 1}" if len(groups) > 1 else ""


@contextlib.contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress over `total` images; yields the function that reports it."""
    if not has_bar():
        lines = _Lines()
        yield lambda done: lines.tell(f"{what}: {done:,} of {total:,}", done, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), _Left())
    bar = ProgressBar(*columns, console=console, transient=True)
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextlib.contextmanager
def stepped() -> Iterator[Callable[[str], None]]:
    """Show on a terminal which step is under way; yields the function to tell it."""
    if not has_bar():
        yield lambda _: None
        return
    with console.status("") as status:
        yield status.update


class _Left(TimeRemainingColumn):
    """The remaining time, if it can be estimated."""

    def render(self, task: Task) -> Text:
        known = task.total is not None and task.time_remaining is not None
        return super().render(task).append(" left") if known else Text()


class _Lines:
    """Prints a line at intervals, with an estimate of the remaining time."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._last_of: dict[int, float] = {}
        """Time of the last line of each group."""
        self._begin: dict[int, tuple[float, float]] = {}
        """Time of the first report of each group's stage, and the number done at that time."""
        self._news: dict[int, tuple[float, int]] = {}
        """Number done and total in the last report of each group."""

    def tell(self, text: str, done: int | float, total: int, group: int = 0) -> None:
        now = time.monotonic()
        before, of = self._news.get(group, (0, 0))
        if total != of or done < before:
            self._begin[group] = (now, done)
        self._news[group] = (done, total)
        wait = SECONDS_BETWEEN_LINES
        if not self._last_of:
            wait = min(wait, SECONDS_TO_FIRST_LINE)
        if now - self._last_of.get(group, self._last) < wait:
            return
        self._last = self._last_of[group] = now
        since, before = self._begin.get(group, (now, done))
        left = ""
        if done > before:
            left = f"  about {_duration((now - since) * (total - done) / (done - before))} left"
        console.print(text + left, highlight=False)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
