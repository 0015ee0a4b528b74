"""Compiling the programs of a population in a thread, while something else is done."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from autodecoder.core.population import compile_population


@contextlib.contextmanager
def compiling(*arguments: Any, **options: Any) -> Iterator[None]:
    """Run `compile_population` beside what is done within; at the end it is done, too.

    What fails there fails again, and is told, where the programs are called.
    """

    def work() -> None:
        with contextlib.suppress(Exception):
            compile_population(*arguments, **options)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
