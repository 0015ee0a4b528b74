"""What comes from files that others wrote is shown in a short line, and steers no terminal."""

import pickle

import pytest

from autodecoder.errors import AutodecoderError, DataError, OutputError
from autodecoder.text import count, legible, printable, told


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("T-shirt/top", "T-shirt/top"),
        ("猫 und ähnliche 😀", "猫 und ähnliche 😀"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("two\nlines\tand  more ", "two lines and more"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("\x9b2J\u202etxt", "\ufffd2J\ufffdtxt"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        (0.5, "0.5"),
    ],
)
def test_names_are_legible(value: object, text: str) -> None:
    assert legible(value) == text
    legible(value).encode()


@pytest.mark.parametrize("value", ["x" * 2_000_000, "\n" * 2_000_000, "a " * 1_000_000])
def test_names_are_short(value: str) -> None:
    assert len(legible(value)) <= 120
    assert len(told(value)) <= 120


def test_both_ends_of_a_name_are_told() -> None:
    assert legible("a" * 100 + "z" * 100, 5) == "aa…zz"


def test_values_are_told_as_before_where_they_are_short() -> None:
    assert [told(value) for value in ("x", 0.1, (1, 2), None)] == ["'x'", "0.1", "(1, 2)", "None"]


def test_lines_may_be_kept() -> None:
    assert printable("a\n\x1bb", kept="\n") == "a\n\ufffdb"


@pytest.mark.parametrize("kind", [DataError, OutputError])
def test_messages_of_errors_can_be_shown(kind: type[AutodecoderError]) -> None:
    error = kind(f"must be this, got {'x' * 1_000_000}\x1b[0m; do that.")
    assert len(str(error)) <= 2000
    assert str(error).startswith("must be this")
    assert str(error).endswith("\ufffd[0m; do that.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_number_agrees_with_its_noun() -> None:
    assert [count(n, "image") for n in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert [count(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
