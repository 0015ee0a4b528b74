"""Tables of numbers, as spreadsheets and scripts write them."""

from pathlib import Path

import numpy as np
import pytest

from autodecoder.data.tables import read_table
from autodecoder.errors import DataError


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("1.5,2\n", [], [[1.5, 2]]),
        ("a;b\r\n1,5;2\r\n3;4,25\r\n", ["a", "b"], [[1.5, 2], [3, 4.25]]),
        ("a;b\n1.5;2\n", ["a", "b"], [[1.5, 2]]),
        ("a\tb\n1,5\t2\n", ["a", "b"], [[1.5, 2]]),
        ("1.0e+00 2.5e+00\n3 4\n", [], [[1, 2.5], [3, 4]]),
        ("sep=;\na;b\n1;2\n", ["a", "b"], [[1, 2]]),
        ('"a;b",c\n1,2\n', ["a;b", "c"], [[1, 2]]),
        ("a,b\n,2\n3,\n", ["a", "b"], [[np.nan, 2], [3, np.nan]]),
        ("\n\na,b\n\n1,2\n", ["a", "b"], [[1, 2]]),
        ("a\n1,5\n2\n", ["a"], [[1.5], [2]]),
        ("# made by me\n# a,b\n#3,4\n1,2\n# end, so\n", ["a", "b"], [[1, 2]]),
        ("# made by me\n1 2\n", [], [[1, 2]]),
        ("# in Rome, Italy\n# a,b\n1,2\n# c,d\n", ["a", "b"], [[1, 2]]),
        ('# 5" wide\n# a,b\n1,2\n', ["a", "b"], [[1, 2]]),
        ("# once\n1\n#2\n3\n", [], [[1], [3]]),
    ],
)
@pytest.mark.parametrize("mark", ["utf-8", "utf-8-sig"])
def test_what_stands_between_numbers(
    text: str, header: list[str], rows: list[list[float]], mark: str, tmp_path: Path
) -> None:
    (tmp_path / "some.csv").write_bytes(text.encode(mark))
    found = read_table(tmp_path / "some.csv")
    assert found[0] == header
    np.testing.assert_array_equal(found[1], rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n\n1\n", r"some\.csv: line 4 must have 2 columns, got 1"),
        (b"# a,b\n1,2\n\n1\n", r"some\.csv: line 4 must have 2 columns, got 1"),
        (b"a\n1\n1,2\n", r"line 3 must have 1 column, got 2"),
        (b"1,2\n3\n", r"line 2 must have 2 columns, got 1"),
        (b"0.1,0.2\n0.3\n", r"line 2 must have 2 columns, got 1"),
        (b"a,b\n1\n", r"line 2 must have 2 columns, got 1"),
        (b"a;b\n1;2\n1;x\n", r"line 3 must hold numbers, got 'x'"),
        (b"1,5;2\n3;4.5\n", "but has a comma in line 1 and a point in line 2"),
        ("a,b\n1,2\n".encode("utf-16"), "is encoded in UTF-16; save it in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is encoded in UTF-16; save it in UTF-8"),
        ("a,b\n1,2\n".encode("utf-32"), "is encoded in UTF-32; save it in UTF-8"),
        ("a,b\n1,2\nä,b".encode("latin-1"), r"is not encoded in UTF-8 \(line 3 is not\)"),
        (b"1.234,5;2,5\n1,5;2,5\n", r"line 1 must hold numbers without marks.*, got '1\.234,5'"),
        (b"a;b\n1,5;2\n3;1.234.567\n", "line 3 must hold numbers without marks"),
        (b"a;b\n1.234;2,5\n", "one decimal point and no marks between thousands"),
        (b"a\tb\n1,234.5\t2\n", r"line 2 must hold numbers without marks.*, got '1,234\.5'"),
        (b'a,b\n"1,234.5",2\n', "line 2 must hold numbers without marks between thousands"),
        ("a;b\n1\u202f234,5;2\n".encode(), "line 2 must hold numbers without marks"),
        (b"1'234.5,2\n", "line 1 must hold numbers without marks between thousands"),
        (b"a,b\n", "holds no line of numbers"),
        (b"", "holds no line of numbers"),
    ],
)
def test_what_is_no_table_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "some.csv")
