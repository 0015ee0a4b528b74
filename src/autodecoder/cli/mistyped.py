"""Explanations of mistyped command lines: missing spaces, and characters from web pages."""

import itertools
import re
import unicodedata
from collections.abc import Collection, Sequence

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

#: Characters that web pages and word processors substitute, with what to type instead. The shell
#: would have removed real quotes.
_TYPED = (
    dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
    | dict.fromkeys("\xa0\u2000\u2001\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " ")
    | dict.fromkeys("\xad\u200b\u200c\u200d\u2060\ufeff", "")
    | dict.fromkeys("“”„‟″‘’‚‛′", "")
)
_UNTYPED = re.compile(f"[{re.escape(''.join(_TYPED))}]")


def explain(error: Exception, arguments: Sequence[str], flags: Collection[str]) -> str | None:
    """Explain in a sentence what was mistyped; `None` if nothing is found.

    Parameters
    ----------
    error : Exception
        The error that the arguments caused.
    arguments : sequence of str
        The arguments from the shell.
    flags : collection of str
        The names of all flags, hyphens included.
    """
    # If the form of the arguments is right, check only the arguments that the error names.
    about = " ".join(str(error).split())
    is_form = isinstance(error, CycloptsError)
    for place, argument in enumerate(arguments):
        told = is_form or _is_named(argument, about)
        if told and argument and not argument.strip():
            return (
                f"got {argument!r} as an argument: if a command continues on the next line, the "
                "backslash must be the last character of the line."
            )
        glued = _glued(argument, flags)
        if told and glued is not None:
            return (
                f"{_taker(arguments, place)}got {_value(argument)!r}: a space must come before "
                f"{glued}, also if a backslash ends the line."
            )
        odd = _UNTYPED.search(argument)
        in_name = is_form and argument.startswith("--") and "=" not in argument
        if odd is not None and (in_name or _is_named(argument, about)):
            name = unicodedata.name(odd[0], "no name")
            return (
                f"{argument!r} contains the character {name} (U+{ord(odd[0]):04X}), as web pages "
                f"and word processors write it: type {_as_typed(argument)!r}."
            )
    if isinstance(error, UnusedCliTokensError):
        return _stray(arguments, (error.unused_tokens or [""])[0])
    if isinstance(error, MissingArgumentError):
        return _missing(arguments, flags)
    return None


def _is_named(argument: str, text: str) -> bool:
    """Whether a text contains an argument or its value, either plain or in Python's notation."""
    name, equals, value = argument.partition("=")
    known = {argument, value or argument, name.replace("-", "_")[2:] + equals + value}
    return any(part and (part in text or repr(part)[1:-1] in text) for part in known)


def _glued(argument: str, flags: Collection[str]) -> str | None:
    """The flag at the end of an argument that starts with something else."""
    for found in re.finditer(r"(?<=[^\s-])--[A-Za-z][\w-]*", argument):
        rest = argument[found.end() :]
        if not rest or rest.startswith("="):
            name = "--" + found[0][2:].replace("-", "_")
            return found[0] if name in flags else None
    return None


def _taker(arguments: Sequence[str], place: int) -> str:
    """The flag that takes an argument as its value, as the beginning of a sentence."""
    name, equals, _ = arguments[place].partition("=")
    if name.startswith("--"):
        return f"{name} " if equals and "--" not in name[2:] else ""
    before = arguments[place - 1] if place else ""
    return f"{before} " if before.startswith("--") and "=" not in before else ""


def _value(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return value if equals and name.startswith("--") and "--" not in name[2:] else argument


def _as_typed(argument: str) -> str:
    start = re.match(r"[–—―](?=[A-Za-z])", argument)
    text = f"--{argument[1:]}" if start else argument
    return _UNTYPED.sub(lambda found: _TYPED[found[0]], text)


def _stray(arguments: Sequence[str], stray: str) -> str | None:
    """Explain an argument that no flag takes by the argument before it."""
    places = [k for k, argument in enumerate(arguments) if argument == stray]
    before = arguments[: places[-1]] if places else ()  # an equal one earlier is a flag's value
    if before and before[-1].startswith("--") and "=" not in before[-1]:
        return f"{stray!r} belongs to no flag: {before[-1]} takes no value."
    if len(before) > 1 and before[-2].startswith("--") and "=" not in before[-2]:
        return f"{stray!r} belongs to no flag: {before[-2]} has taken {before[-1]!r}."
    return f"{stray!r} belongs to no flag."


def _missing(arguments: Sequence[str], flags: Collection[str]) -> str | None:
    """Explain a flag whose value looks like a flag."""
    for flag, value in itertools.pairwise(arguments):
        name = "--" + flag[2:].replace("-", "_")
        other = "--" + value[2:].partition("=")[0].replace("-", "_")
        if name in flags and value.startswith("--") and other not in flags:
            return (
                f"{flag} requires a value, got {value}, which looks like a flag: write "
                f"{flag}={value} if it is the value."
            )
    return None
