"""Further columns of images: from frames and mappings to texts, and which of them travel."""

import datetime
import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autodecoder.data.columns import (
    LONGEST_VALUE,
    as_text,
    choose_columns,
    index_of,
    join_columns,
    read_columns,
)
from autodecoder.errors import DataError


def plain(columns: Any) -> dict[str, list[str]]:
    return {name: values.tolist() for name, values in columns.items()}


DAY = datetime.date(2024, 2, 29)
VALUES = {
    "whole": ([1, 2, None], ["1", "2", ""]),
    "part": ([0.5, float("nan"), 2.0], ["0.5", "", "2.0"]),
    "word": (["<b>x</b>", " a\r\nb ", None], ["<b>x</b>", "a\nb", ""]),
    "switch": ([True, False, True], ["True", "False", "True"]),
    "script": (["日本", "עברית", "x\u202ey"], ["日本", "עברית", "x\u202ey"]),
}


@pytest.mark.parametrize("library", ["builtins", "pandas", "polars", "pyarrow"])
def test_frames_and_mappings_of_any_library_give_the_same_texts(library: str) -> None:
    found = pytest.importorskip(library)
    make = {"builtins": "dict", "pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}
    given = getattr(found, make[library])({name: values for name, (values, _) in VALUES.items()})
    assert plain(read_columns("columns", given, 3)) == {
        name: texts for name, (_, texts) in VALUES.items()
    }


def test_dates_categories_and_numbers_are_written_as_their_library_does() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime([DAY, None]),
            "kind": pd.Categorical(["a", None]),
            "single": np.array([0.1, 7], np.float32),
            "huge": [1e300, None],
            "nullable": pd.array([10**12, None], "Int64"),
        }
    )
    found = plain(read_columns("columns", frame, 2))
    assert found == {
        "day": ["2024-02-29", ""],
        "kind": ["a", ""],
        "single": ["0.1", "7.0"],
        "huge": ["1e+300", ""],
        "nullable": [str(10**12), ""],
    }
    array = {"single": np.array([0.1, np.nan], np.float32), "day": np.array([DAY, "NaT"], "M8[D]")}
    assert plain(read_columns("columns", array, 2)) == {
        "single": ["0.1", ""],
        "day": ["2024-02-29", ""],
    }


def test_names_are_distinct_lines_and_blank_columns_are_left_out() -> None:
    frame = pd.DataFrame([["1", "2", "3", "4", "5", "6", ""]] * 2)
    frame.columns = ["name", "Class", "a\nb", "a b", "", "name_2", "blank"]
    assert plain(read_columns("columns", frame, 2)) == {
        "name_2": ["1", "1"],
        "Class_2": ["2", "2"],
        "a b": ["3", "3"],
        "a b_2": ["4", "4"],
        "name_2_2": ["6", "6"],
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [1, 2]}, "columns must have 3 values in each column, .* but a has 2"),
        ({"a": "xyz"}, "but a has 1"),
        ([1, 2, 3], r"columns must be a frame or a mapping of names to values, got \[1, 2, 3\]"),
        (np.zeros((3, 2)), "columns must be a frame or a mapping"),
        ({str(k): [k] * 3 for k in range(33)}, "columns must be at most 32, got 33"),
    ],
)
def test_what_are_no_columns(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_columns("columns", given, 3)


def test_long_values_are_cut() -> None:
    assert as_text("x" * LONGEST_VALUE) == "x" * LONGEST_VALUE
    found = as_text("x" * LONGEST_VALUE + "y")
    assert len(found) == LONGEST_VALUE
    assert found.endswith("xy")
    assert "…" in found


def test_which_columns_travel(caplog: pytest.LogCaptureFixture) -> None:
    header = ["site", "", "name", "site"]
    every = {"site": 0, "name_2": 2, "site_2": 3}
    assert choose_columns("all", header, 5, "t.csv") == every
    assert choose_columns("none", header, 5, "t.csv") == {}
    assert choose_columns(("site_2", "site"), header, 5, "t.csv") == {"site_2": 3, "site": 0}
    with pytest.raises(DataError, match=r"among those of t\.csv, site, name_2, site_2, got sute\."):
        choose_columns(("sute",), header, 5, "t.csv")
    with pytest.raises(DataError, match=r"must be none for t\.csv, which has no further ones"):
        choose_columns(("site",), [], 5, "t.csv")
    many = [f"c{k}" for k in range(40)]
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "autodecoder"):
        assert list(choose_columns("all", many, 5, "t.csv")) == many[:32]
    assert "the first 32 of 40 columns travel" in caplog.text
    with caplog.at_level(logging.WARNING, "autodecoder"):
        assert choose_columns("all", header, 10**6 + 1, "t.csv") == {}
    assert "do not travel with more than 1,000,000 images unless columns names them" in caplog.text
    assert choose_columns(("site",), header, 10**6 + 1, "t.csv") == {"site": 0}


def test_sets_are_joined_with_blanks() -> None:
    one, other = ({name: np.array(["x"], object)} for name in "ab")
    assert plain(join_columns((one, 1), ({}, 1), (other, 1))) == {
        "a": ["x", "", ""],
        "b": ["", "", "x"],
    }


def test_an_index_that_only_counts_is_none() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3]})
    assert index_of(frame) is None
    assert index_of(frame.to_numpy()) is None
    assert index_of(frame.iloc[[2, 0]]) == ["2", "0"]
    assert index_of(frame.iloc[1:]) == ["1", "2"]
    assert index_of(frame["x"].set_axis(["a", None, "c"])) == ["a", "", "c"]
    assert index_of(frame.set_index(pd.to_datetime([DAY] * 3))) == ["2024-02-29"] * 3
