"""Small random edits of a valid input, which make the inputs of the fuzzers.

An edit is three whole numbers, so that a generator of random numbers, hypothesis and atheris can
draw it alike, and the same numbers always make the same input.
"""

import json
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

#: Numbers of an edit lie below this.
MOST = 2**16
#: Whole numbers at which readers change their ways.
_WHOLE = (0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_WIDE = (2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_WIDTHS = (1, 2, 4, 8)
#: Values that replace a part of a JSON document.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e-320, 1e308, 2**31, 2**63, 2**64, -(2**63)),
    *(10**30, 10**400, "", "0", "a", "\0", "../x", "/", "\ud800", "é" * 200, "1" * 5000, "nan"),
    *([], {}, [[]], [0], [None], [1, 2, 3], [1e400], {"": 0}, {"a": {}}, [0] * 300, "x" * 70_000),
)
#: Values that `json.dumps` does not write, or not in this way.
_RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[" * 200 + "]" * 200, "[" * 99_999)
_DECODER = json.JSONDecoder()
_HOLE = "\u0001hole\u0001"

#: The names and numbers that lead to a value of a JSON document.
_Path = tuple[Any, ...]


class Edit(NamedTuple):
    """One edit: its kind, where, and with what; counted round and round."""

    kind: int
    where: int
    what: int


def edited(content: bytes, edits: Sequence[Edit], tokens: Sequence[bytes]) -> bytes:
    """The content after some edits; tokens are pieces that a reader knows."""
    for edit in edits:
        content = KINDS[edit.kind % len(KINDS)](content, edit.where, edit.what, tokens)
    return content


def draw_edits(rng: random.Random, most: int = 5) -> list[Edit]:
    """Some random edits."""
    return [
        Edit(rng.randrange(len(KINDS)), rng.randrange(MOST), rng.randrange(MOST))
        for _ in range(rng.randint(1, most))
    ]


def _place(content: bytes, where: int) -> int:
    """A position: counted from the beginning or, for half of the numbers, over all of the input."""
    n = len(content) + 1
    return where // 2 % n if where % 2 else where * n // MOST


def _flip(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at = _place(content, where)
    return (
        content[:at] + bytes(b ^ (1 << what % 8) for b in content[at : at + 1]) + content[at + 1 :]
    )


def _set_byte(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at = _place(content, where)
    return content[:at] + bytes([what % 256]) + content[at + 1 :]


def _set_number(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at, width = _place(content, where), _WIDTHS[what % 4]
    numbers = _WHOLE + _WIDE
    number = numbers[what // 8 % len(numbers)] % 256**width
    order = "big" if what % 8 > 3 else "little"
    return content[:at] + number.to_bytes(width, order) + content[at + width :]


def _insert(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at = _place(content, where)
    return content[:at] + (tokens[what % len(tokens)] if tokens else b"\0") + content[at:]


def _overwrite(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at, token = _place(content, where), tokens[what % len(tokens)] if tokens else b"\xff"
    return content[:at] + token + content[at + len(token) :]


def _remove(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at = _place(content, where)
    return content[:at] + content[at + 1 + what % 64 :]


def _cut(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    return content[: _place(content, where)]


def _repeat(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at = _place(content, where)
    piece = content[at : at + 1 + what % 64]
    return content[:at] + piece * (2 + what // 64 % 8) + content[at + len(piece) :]


def _move(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    at, to = _place(content, where), _place(content, what)
    piece = content[at : at + 1 + what % 64]
    return content[:to] + piece + content[to:]


def _replace_value(content: bytes, where: int, what: int, tokens: Sequence[bytes]) -> bytes:
    """Replace or remove one value of the first JSON object in the content, or one of its names."""
    first = content.find(b"{")
    try:
        text = content[first:].decode("latin-1")
        document, used = _DECODER.raw_decode(text)
        changed = _changed(document, _places_of(text[:used]), where, what)
        return content[:first] + changed + content[first + used :]
    except (ValueError, RecursionError):
        return _flip(content, where, what, tokens)


def _changed(document: Any, places: Sequence[_Path], where: int, what: int) -> bytes:
    """The document with a change at one of these places, which are all that it has."""
    if not places:
        return b"{}"
    path = places[where % len(places)]
    parent = document
    for name in path[:-1]:
        parent = parent[name]
    value, action = parent[path[-1]], what % 8
    if action > 1 and (inner := _inner(value)) is not None:
        changed = _changed(inner, _places_of(value), where // 7, what // 8)
        parent[path[-1]] = changed.decode()
        return json.dumps(document).encode()
    if action == 0:
        del parent[path[-1]]
    elif action == 1 and isinstance(parent, dict):
        parent[str(_VALUES[what // 8 % len(_VALUES)])[:100]] = parent.pop(path[-1])
    elif action == 2:
        other = document
        for name in places[what // 8 % len(places)]:
            other = other[name]
        parent[path[-1]] = json.loads(json.dumps(other))
    elif action == 3:
        parent[path[-1]] = _HOLE
        raw = _RAW[what // 8 % len(_RAW)]
        return json.dumps(document).replace(json.dumps(_HOLE), raw).encode()
    else:
        parent[path[-1]] = _VALUES[what // 8 % len(_VALUES)]
    return json.dumps(document).encode()


@lru_cache(256)  # valid inputs come again and again
def _places_of(text: str) -> Sequence[_Path]:
    return _places(json.loads(text), ())


def _places(document: Any, path: _Path) -> list[_Path]:
    """The paths of all values within a document; a text that is itself one counts repeatedly."""
    if isinstance(document, dict):
        inner = list(document.items())
    else:
        inner = list(enumerate(document)) if isinstance(document, list) else []
    found = []
    for name, value in inner[:200]:
        n = len(_places(_inner(value), ()))
        found += [(*path, name)] * (n + 1)
        found += _places(value, (*path, name))
    return found


def _inner(value: Any) -> Any:
    """The JSON object in a text; `None` for other values."""
    try:
        return json.loads(value) if isinstance(value, str) and value.startswith("{") else None
    except (ValueError, RecursionError):
        return None


#: The kinds of edits; values of JSON documents are half of them.
KINDS: tuple[Callable[[bytes, int, int, Sequence[bytes]], bytes], ...] = (
    *(_flip, _set_byte, _set_number, _insert, _overwrite, _remove, _cut, _repeat, _move),
    *(_replace_value,) * 6,
)
