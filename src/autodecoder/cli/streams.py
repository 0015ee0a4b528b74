"""Output streams of the command line, which may be closed, full, or lack characters."""

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

#: Substitutes for characters that the encoding of a stream lacks.
_PLAIN = str.maketrans(
    {"×": "x", "±": "+/-", "–": "-", "—": "-", "−": "-", "…": "...", "·": ".", "→": "->"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'", "\ufffd": "?"}
)
_ERRORS = "autodecoder.plainly"
#: Least number of columns of a terminal.
_NARROWEST = 20


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    # Undecodable bytes of a file name appear as surrogates, which no encoding has.
    text = "".join("?" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(_ERRORS, _plainly)


def fit(text: str, encoding: str) -> str:
    """Replace the characters that an encoding lacks.

    Examples
    --------
    >>> fit("8 × 8, 0.1 ± 0.2", "ascii")
    '8 x 8, 0.1 +/- 0.2'
    """
    return text.encode(encoding, _ERRORS).decode(encoding)


class Output(io.TextIOBase):
    """The present standard output or standard error.

    A closed stream drops all text. A stream that cannot be written, for example on a full disk, is
    not used again after its first failure, which `take_failure` returns. The run continues, since
    its files matter more.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failure: OSError | None = None
        self._failed: Any = None

    def take_failure(self) -> OSError | None:
        """The reason why the stream could not be written, once; then the stream is used again."""
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
        """An object with `write` and `flush`, or `None` if there is none."""
        stream = getattr(sys, self._name)
        stream = getattr(stream, "rich_proxied_file", stream)  # otherwise rich writes to itself
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
        except RuntimeError:  # written by a signal handler during another write
            pass


def _let_go(stream: Any) -> None:
    """Drop the rest of a stream's buffer, since Python would report it at exit."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


STDOUT, STDERR = Output("stdout"), Output("stderr")


class Console(RichConsole):
    """A console on these streams. Tables are measured in the characters that are shown."""

    def __init__(
        self, *, width: int | None = None, soft_wrap: bool = True, stderr: bool = False
    ) -> None:
        # Plain text also in notebooks, where each line would otherwise be a separate display.
        super().__init__(
            width=width, stderr=stderr, soft_wrap=soft_wrap, markup=False, force_jupyter=False
        )

    @property
    def file(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  (never set)
        return STDERR if self.stderr else STDOUT

    @property
    def size(self) -> ConsoleDimensions:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The terminal's size, with a least width: cyclopts would wrap without end."""
        width, height = super().size
        return ConsoleDimensions(max(width, _NARROWEST), height)

    @property
    def is_interactive(self) -> bool:
        """Whether a bar is shown. It is evaluated anew, since `--json` changes the stream."""
        return self.is_terminal and not self.is_dumb_terminal

    @is_interactive.setter
    def is_interactive(self, _: bool) -> None: ...

    def render_str(self, text: str, **options: Any) -> Text:
        # Control characters are removed: the text may come from somebody else's file.
        return super().render_str(fit(printable(text, kept="\n"), self.encoding), **options)


def hold_descriptors() -> None:
    """Reserve the numbers of closed standard streams, so that no file opened later gets them.

    Libraries write messages to number 2, whatever it is.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
