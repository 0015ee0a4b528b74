"""Progress of a study, as text and as bars of tqdm."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from autodecoder.model.progress import bar_type, restart
from autodecoder.study.events import Progress

#: Stages of unknown length.
UNTIMED = {"wait": "waiting for another process", "compile": "compiling"}
_FORMAT = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}<{remaining}{postfix}"


def describe_progress(progress: Progress) -> tuple[str, str]:
    """The present stage and its known metrics, as text."""
    if progress.stage in UNTIMED:
        return UNTIMED[progress.stage], ""
    if progress.stage != "fit":
        return f"fresh validation {progress.done + 1}/{progress.total}", ""
    known = {"loss": progress.loss, "val_loss": progress.val_loss}
    metrics = (f"{name} {value:.4f}" for name, value in known.items() if math.isfinite(value))
    return f"epoch {progress.epoch}/{progress.num_epochs}", "  ".join(metrics)


@contextlib.contextmanager
def study_bars(
    report: Callable[[Progress], None], verbose: bool
) -> Iterator[Callable[[Progress], None]]:
    """Show a bar for each running group of trials, if `verbose`; yields a function that updates the
    bars and calls `report`."""
    if not verbose:
        yield report
        return
    with contextlib.ExitStack() as stack:
        bars: dict[int, Any] = {}
        untimed: set[int] = set()

        def tell(progress: Progress) -> None:
            report(progress)
            if progress.stage == "end":
                if progress.group in bars:
                    bars.pop(progress.group).close()
                return
            text, metrics = describe_progress(progress)
            bar = bars.get(progress.group)
            if bar is None:
                bar = stack.enter_context(bar_type()(desc=text, bar_format=_FORMAT))
                bars[progress.group] = bar
            bar.set_description_str(text, refresh=False)
            bar.set_postfix_str(metrics, refresh=False)
            if progress.stage in UNTIMED:
                untimed.add(progress.group)
            elif bar.total != progress.total or progress.group in untimed:
                restart(bar, progress.done, progress.total)
                untimed.discard(progress.group)
            else:
                bar.update(progress.done - bar.n)
            bar.refresh()

        yield tell
