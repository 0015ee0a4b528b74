"""Where the command line writes: streams that may be closed or full, or lack a character."""

import atexit
import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleDimensions
from rich.text import Text

from autodecoder.text import printable

#: What stands for characters that the encoding of a stream lacks.
_PLAIN = str.maketrans(
    {"×": "x", "±": "+/-", "–": "-", "—": "-", "−": "-", "…": "...", "·": ".", "→": "->"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'", "\ufffd": "?"}
)
_ERRORS = "autodecoder.plainly"
#: Columns of a terminal at least, whatever it says.
_NARROWEST = 20


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    # Bytes of a file name that are no text come as surrogates, which no encoding has.
    text = "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(_ERRORS, _plainly)


def fit(text: str, encoding: str) -> str:
    """The text in characters that an encoding has.

    Examples
    --------
    >>> fit("8 × 8, 0.1 ± 0.2", "ascii")
    '8 x 8, 0.1 +/- 0.2'
    """
    return text.encode(encoding, _ERRORS).decode(encoding)


class Output(io.TextIOBase):
    """Standard output or standard error, whatever that is at the moment.

    A stream that is closed takes everything and shows nothing. One that cannot be written, as on a
    full disk, is left alone from the first failure on, which `take_failure` tells: the run, and
    what it writes to files, matter more.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failure: OSError | None = None
        self._failed: Any = None

    def take_failure(self) -> OSError | None:
        """Why the stream could not be written, once; it is tried again afterwards."""
        failure, self._failure, self._failed = self._failure, None, None
        return failure

    def write(self, text: str) -> int:
        stream = self._stream()
        if stream is not None:
            with self._failing(stream):
                stream.write(fit(text, self.encoding))
        return len(text)

    def flush(self) -> None:
        stream = self._stream()
        if stream is not None:
            with self._failing(stream):
                getattr(stream, "flush", lambda: None)()

    def isatty(self) -> bool:
        stream = self._stream()
        return stream is not None and hasattr(stream, "isatty") and stream.isatty()

    def fileno(self) -> int:
        stream = self._stream()
        if stream is None:
            raise io.UnsupportedOperation("fileno")
        return stream.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self._stream(), "encoding", None) or "utf-8"

    def _stream(self) -> Any:
        """Whatever has `write` and `flush`; `None` for nothing."""
        stream = getattr(sys, self._name)
        stream = getattr(stream, "rich_proxied_file", stream)  # else rich would write to itself
        if stream is None or getattr(stream, "closed", False) or stream is self._failed:
            return None
        return stream

    @contextlib.contextmanager
    def _failing(self, stream: Any) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure, self._failed = error, stream
            atexit.register(_let_go, stream)
        except RuntimeError:  # written to by a signal's handler, in the midst of another write
            pass


def _let_go(stream: Any) -> None:
    """What a stream still holds is dropped, since Python would complain of it as it ends."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


STDOUT, STDERR = Output("stdout"), Output("stderr")


class Console(RichConsole):
    """A console of these streams, whose tables are measured in the characters that are shown."""

    def __init__(
        self, *, width: int | None = None, soft_wrap: bool = True, stderr: bool = False
    ) -> None:
        # Plain text in notebooks too, where else each line would be a display of its own.
        super().__init__(
            width=width, stderr=stderr, soft_wrap=soft_wrap, markup=False, force_jupyter=False
        )

    @property
    def file(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (never set)
        return STDERR if self.stderr else STDOUT

    @property
    def size(self) -> ConsoleDimensions:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As the terminal has it, but never too narrow: cyclopts would wrap for ever."""
        width, height = super().size
        return ConsoleDimensions(max(width, _NARROWEST), height)

    @property
    def is_interactive(self) -> bool:
        """Whether it has a bar; rich itself would look once, before `--json` turns to the other."""
        return self.is_terminal and not self.is_dumb_terminal

    @is_interactive.setter
    def is_interactive(self, _: bool) -> None: ...

    def render_str(self, text: str, **options: Any) -> Text:
        # It may come from somebody else's file, which steers no terminal.
        return super().render_str(fit(printable(text, kept="\n"), self.encoding), **options)


def hold_descriptors() -> None:
    """Keep the numbers of closed standard streams from going to files that are opened later.

    Libraries write their messages to number 2, whatever that is.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the least number that is free
