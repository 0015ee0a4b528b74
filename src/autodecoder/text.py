"""Making text safe to show: one line, limited in length, without control characters."""

from typing import Any

#: Longest name that is shown, in characters.
_MOST_OF_NAME = 120
#: Joiners within words of some scripts, which `str.isprintable` does not count.
_JOINERS = "\u200c\u200d"


def legible(value: Any, most: int = _MOST_OF_NAME) -> str:
    """A value as one line of at most `most` characters; longer text is cut in the middle.

    Unprintable characters (control characters, halves of a surrogate pair, marks that turn the
    direction of writing) become U+FFFD. Each run of white space becomes one space.

    Examples
    --------
    >>> legible("a name\\nof two lines")
    'a name of two lines'
    >>> legible("x" * 1000, 9)
    'xxxx…xxxx'
    """
    # Shorten before the work on each character, and again after white space has shrunk.
    return shorten(printable(" ".join(shorten(str(value), 4 * most).split())), most)


def told(value: Any) -> str:
    """The `repr` of a value, cut if it is long, for the "got …" of messages."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested too deeply"
    return shorten(text, _MOST_OF_NAME)


def printable(text: str, kept: str = "") -> str:
    """Replace unprintable characters by U+FFFD, except those in `kept`."""
    if text.isprintable():
        return text
    kept += _JOINERS
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in text)


def shorten(text: str, most: int) -> str:
    """Text of at most `most` characters; longer text is cut in the middle."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def count(n: int, thing: str, things: str | None = None) -> str:
    """A number with its noun.

    Examples
    --------
    >>> count(1, "epoch"), count(2000, "epoch"), count(2, "class", "classes")
    ('1 epoch', '2,000 epochs', '2 classes')
    """
    return f"{n:,} {thing if n == 1 else things or f'{thing}s'}"
