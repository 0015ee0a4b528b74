"""What the terminal shows: the start, a progress bar, and the table of trials."""

import contextlib
import math
import signal
from collections.abc import Callable, Iterator

from rich import box
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
from rich.table import Table

from autodecoder.config import StudyConfig
from autodecoder.data import Dataset
from autodecoder.study import Progress, StudyResult, Trial

#: The table of trials keeps this width in narrower terminals, rather than lose its numbers.
_TABLE_WIDTH = 90


class _Console(Console):
    """Goes on without output where a reader such as `head` has left: the run matters more."""

    def on_broken_pipe(self) -> None:
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()


console = _Console(soft_wrap=True, markup=False)


def print_start(config: StudyConfig, dataset: Dataset) -> None:
    """Say what is about to run."""
    rates = ", ".join(f"{rate:g}" for rate in config.learning_rates)
    console.print(
        f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.val):,} validation "
        f"images of {' × '.join(map(str, dataset.image_shape))}\n"
        f"learning rate {rates}; {_count(config.executions_per_trial, 'execution')} each, "
        f"{_count(config.fit.num_epochs, 'epoch')}, seed {config.seed}",
        highlight=False,
    )
    if not config.use_xla:
        console.print("--nouse_xla runs operation by operation: slow, meant for debugging")


@contextlib.contextmanager
def study_progress(config: StudyConfig) -> Iterator[Callable[[Progress], None]]:
    """A progress bar, and the function that moves it."""
    bar = ProgressBar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[metrics]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )
    with bar:
        task = bar.add_task("compiling", total=None, metrics="")

        def report(progress: Progress) -> None:
            if progress.stage == "compile":
                return
            if progress.stage == "fit":
                text = f"epoch {progress.epoch}/{config.fit.num_epochs}"
                metrics = f"loss {progress.loss:.4f}  val_loss {progress.val_loss:.4f}"
                bar.update(task, description=text, metrics=metrics)
            else:
                text = f"fresh validation {progress.done + 1}/{progress.total}"
                bar.update(task, description=text)
            bar.update(task, completed=progress.done, total=progress.total)

        yield report


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


def print_result(result: StudyResult) -> None:
    """The table of trials, best first, and what to know about it."""
    config = result.config
    n = config.executions_per_trial
    over = f", mean ± standard deviation over {n} executions" if n > 1 else ""
    console.print(f"\nTrials by {result.metric} at its best epoch{over}; best first")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("learning rate", justify="right")
    table.add_column("best", justify="right")
    table.add_column("last loss", justify="right")
    table.add_column("val_loss", justify="right")
    table.add_column("fresh_val_loss", justify="right")
    table.add_column("ended")
    for trial in result.trials:
        table.add_row(
            f"{trial.learning_rate:g}",
            _score(trial),
            *(_last(trial, name) for name in ("loss", "val_loss", "fresh_val_loss")),
            _ended(trial),
        )
    _Console(width=max(console.width, _TABLE_WIDTH)).print(table)
    if result.interrupted:
        console.print("Interrupted: the epochs done are saved; fresh validation is not complete.")
    if result.best_run is None:
        console.print("No run ended with finite values, so there is no decoder to show.")
    seconds = result.seconds
    epochs = sum(execution.epochs for trial in result.trials for execution in trial.executions)
    console.print(
        f"Compiled in {seconds['compile']:.1f} s; {epochs} epochs in {seconds['fit']:.1f} s "
        f"({seconds['fit'] / max(epochs, 1):.3g} s each); "
        f"fresh validation {seconds['fresh_validation']:.1f} s",
        highlight=False,
    )


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _score(trial: Trial) -> str:
    if not math.isfinite(trial.score):
        return "none"
    spread = f" ± {trial.spread:.4f}" if len(trial.executions) > 1 else ""
    return f"{trial.score:.4f}{spread}"


def _last(trial: Trial, metric: str) -> str:
    values = [e.history[metric][-1] for e in trial.executions if e.epochs]
    mean = float(sum(values)) / len(values) if values else math.nan
    return f"{mean:.4f}" if math.isfinite(mean) else "–"


def _ended(trial: Trial) -> str:
    counts: dict[str, int] = {}
    for execution in trial.executions:
        counts[execution.status] = counts.get(execution.status, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
