"""Text from elsewhere, as it may be shown: it steers no terminal, fits a line, and is no book."""

from typing import Any

#: Characters of a name that are shown at most.
_MOST_OF_NAME = 120
#: Joiners within words of some scripts, which `str.isprintable` does not count.
_JOINERS = "\u200c\u200d"


def legible(value: Any, most: int = _MOST_OF_NAME) -> str:
    """A value in one line of at most `most` characters, of which the middle is left out.

    What is not printable (control characters, halves of a surrogate pair, marks that turn the
    direction of writing) becomes U+FFFD, each run of white space one space.

    Examples
    --------
    >>> legible("a name\\nof two lines")
    'a name of two lines'
    >>> legible("x" * 1000, 9)
    'xxxx…xxxx'
    """
    # Cut before it is looked at letter by letter, and again when white space has shrunk.
    return shorten(printable(" ".join(shorten(str(value), 4 * most).split())), most)


def told(value: Any) -> str:
    """The `repr` of a value, cut where it is long: for messages that say what was got."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested too deeply"
    return shorten(text, _MOST_OF_NAME)


def printable(text: str, kept: str = "") -> str:
    """Text in which every character can be shown, or is one of those to be kept."""
    if text.isprintable():
        return text
    kept += _JOINERS
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in text)


def shorten(text: str, most: int) -> str:
    """Text of at most `most` characters: of a longer one the middle is left out."""
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
