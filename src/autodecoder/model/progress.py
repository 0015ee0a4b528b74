"""Progress bar of a fit by tqdm: a line in a terminal, a widget in a notebook."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

#: Called with the number of epochs done and the metrics of the last one.
Callback = Callable[[int, dict[str, float]], None]


def bar_type() -> Any:
    """The class of tqdm's bar for a terminal or notebook; that for terminals without ipywidgets."""
    with warnings.catch_warnings():  # tqdm warns if there are no widgets
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def restart(bar: Any, done: int | float, total: int) -> None:
    """Restart the clock of a bar with this number done, so that the time for compiling is not taken
    for the time of an epoch."""
    bar.reset(total)
    bar.initial = bar.n = bar.last_print_n = done


@contextlib.contextmanager
def told(
    callback: Callback | None, verbose: bool, done: int, end: int
) -> Iterator[Callback | None]:
    """Show a bar of epochs from `done` to `end` if `verbose` is True.

    Yields a function that updates the bar and calls `callback`. Without a bar it yields `callback`,
    which may be `None`. The bar appears before the first epoch, while programs are compiled.
    """
    if not verbose:
        yield callback
        return
    with bar_type()(total=end, initial=done, desc="compiling", unit="epoch") as bar:

        def tell(epoch: int, metrics: dict[str, float]) -> None:
            has_compiled = bar.n > done
            bar.set_description("fit", refresh=False)
            bar.set_postfix_str(f"loss {metrics['loss']:.4f}", refresh=False)
            if has_compiled or epoch == end:
                bar.update(epoch - bar.n)
            else:
                restart(bar, epoch, end)
                bar.refresh()
            if callback is not None:
                callback(epoch, metrics)

        yield tell
