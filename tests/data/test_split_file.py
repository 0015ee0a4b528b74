"""Files that say which images to train on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodecoder.data.split_file import TRAIN, UNUSED, VAL, hold_out_groups, read_split
from autodecoder.errors import DataError

NAMES = ["a/0.png", "a/1 b,c.png", "b/0.png", "b/ü.png"]
QUOTED = [f'"{name}"' for name in NAMES]
PARTS = "".join(f"{name},{part}\n" for name, part in zip(QUOTED, "tvtt", strict=True))
PARTS = PARTS.replace(",t\n", ",train\n").replace(",v\n", ",val\n")
GROUPS = "".join(f"{name},{group}\n" for name, group in zip(QUOTED, "xyxz", strict=True))


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "split.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        PARTS,
        PARTS.replace("\n", "\r\n"),
        PARTS.removesuffix("\n"),
        "\n" + PARTS + "\n , \n",
        "name,part\n" + PARTS,
        "File Name,Split\n" + PARTS,
        "anything,at all\n" + PARTS,
        "".join(reversed(PARTS.splitlines(keepends=True))),
        PARTS.replace("train", "Training").replace("val", " TEST "),
        PARTS.replace("val", "validation"),
        PARTS.replace('",', '";'),
        PARTS.replace('",', '"\t'),
        PARTS.replace("/", "\\"),
        PARTS.replace('"a', '"./a'),
        "image,label,split\n" + PARTS.replace('",', '",7,'),
        ",image,split\n" + "".join(f"{k},{line}\n" for k, line in enumerate(PARTS.splitlines())),
        "split,image\n" + "".join(",".join(reversed(line.rsplit(",", 1))) + "\n"
                                  for line in PARTS.splitlines()),
        "name,part,group\n" + PARTS.replace("train", "train,x").replace("val", "val,y"),
        PARTS.replace("train", "train,x").replace("val", "val,y"),
        PARTS.replace("val", "Development"),
    ],
)  # fmt: skip
def test_parts(tmp_path: Path, content: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        split = read_split(table(tmp_path, content.encode(encoding)), NAMES)
        assert split.parts is not None
        assert split.parts.tolist() == [TRAIN, VAL, TRAIN, TRAIN]
        assert split.groups is None


def test_a_table_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end was cut off in silence."""
    path = table(tmp_path, PARTS)
    monkeypatch.setattr("autodecoder.data.split_file._LARGEST", path.stat().st_size)
    assert read_split(path, NAMES).parts is not None
    monkeypatch.setattr("autodecoder.data.split_file._LARGEST", path.stat().st_size - 1)
    with pytest.raises(DataError, match=r"split\.csv must have at most \d+ bytes, but has more"):
        read_split(path, NAMES)


def test_of_several_validation_sets_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = "0,train\n1,test\n2,val\n3,test\n"
    split = read_split(table(tmp_path, content), np.arange(4))
    assert split.parts is not None
    assert split.parts.tolist() == [TRAIN, UNUSED, VAL, UNUSED]
    assert "2 images of test not used, since val is the validation set" in caplog.text
    assert split.take(np.array([2, 0])).parts is not None


@pytest.mark.parametrize("rows", ["0123", ["00", "01", "2.0", "3"]])
def test_rows(tmp_path: Path, rows: str) -> None:
    content = "".join(f"{row},{part}\n" for row, part in zip(rows, "xyxz", strict=True))
    split = read_split(table(tmp_path, "row,subject\n" + content), np.arange(4))
    assert split.parts is None
    assert split.groups is not None
    assert split.groups.tolist() == [0, 1, 0, 2]


def test_groups_may_have_any_names(tmp_path: Path) -> None:
    split = read_split(table(tmp_path, GROUPS), NAMES)
    assert split.groups is not None
    assert split.groups.tolist() == [0, 1, 0, 2]
    both = "name,label,patient\n" + GROUPS.replace('",', '",7,')
    assert read_split(table(tmp_path, both), NAMES).groups is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "but .*split.csv is empty"),
        ("name,part\n", "must have a line for each image"),
        (PARTS.replace("a/0", "a/9"), "must name every image, but lacks a/0.png"),
        (PARTS + "c/1.png,val\n", "for example a/0.png, but names c/1.png"),
        (PARTS + "".join(f"c/{k},val\n" for k in range(5)), "c/0, c/1, c/2 and 2 more"),
        ("".join(PARTS.splitlines(True)[1:]), "must name every image, but lacks a/0.png"),
        (PARTS + "a/0.png,train\n", "each image once, but has a/0.png in lines 1 and 5"),
        (PARTS.replace("val", "train"), "an image to validate with, but has none; --val_fraction"),
        (PARTS.replace("train", "val"), "must have an image to train on, but has none"),
        (PARTS.replace("val", "vla"), "line 2 must have train or one of val, .*, got 'vla'"),
        (PARTS.replace("val", ""), "line 2 must have a part, got none"),
        (PARTS.replace("val", "val,more"), "line 2 must have 2 columns, .*, got 3"),
        ("\n".join(QUOTED), "line 1 must have two columns at least"),
        ("a,b,c\n" + GROUPS.replace('",', '",7,'), "must name its 3 columns in the first line"),
        ("name,part,group\n" + PARTS.replace("\n", ",x\n"), "one part, but has x in both"),
        (GROUPS.replace("y", "x").replace("z", "x"), "must have two groups at least"),
        (GROUPS.replace(",y", ","), "line 2 must have a group, got none"),
        (PARTS.encode("latin-1"), r"not encoded in UTF-8 \(line 4 is not\); save it in UTF-8"),
        (PARTS.encode("utf-16-le"), "is encoded in UTF-16; save it in UTF-8"),
        (b"\xff\xfe\x00", "cannot read .*no table of text"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_split(table(tmp_path, content), NAMES)
    assert str(caught.value).endswith(".")


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError, match="split_by must be a file, but"):
            read_split(path, NAMES)


@settings(deadline=None, max_examples=50)
@given(
    groups=st.lists(st.integers(0, 30), min_size=2, max_size=200).map(np.array),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
)
def test_groups_are_never_torn(groups: np.ndarray, fraction: float, seed: int) -> None:
    labels = np.arange(len(groups)) % 3
    held_out = hold_out_groups(labels, groups, fraction, seed=seed)
    rest = np.setdiff1d(np.arange(len(groups)), held_out)
    assert len(held_out)
    assert not np.intersect1d(groups[held_out], groups[rest]).size
    assert len(rest) or len(np.unique(groups)) == 1
    np.testing.assert_array_equal(
        held_out, hold_out_groups(labels, groups, fraction, seed=seed), strict=True
    )


def test_groups_are_held_out_evenly_by_class() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(1, 12, 60))
    labels = rng.integers(0, 3, 60)[groups]  # each group of one class
    drawn = [hold_out_groups(labels, groups, 0.2, seed=seed) for seed in range(5)]
    for held_out in drawn:
        shares = np.bincount(labels[held_out], minlength=3) / np.bincount(labels)
        assert np.abs(shares - 0.2).max() < 0.04
    assert len({tuple(np.unique(groups[held_out])) for held_out in drawn}) == 5


def test_a_group_that_is_most_of_all_is_not_held_out() -> None:
    groups = np.array([0] * 80 + [1] * 10 + [2] * 10)
    labels = np.zeros(100, int)
    held_out = hold_out_groups(labels, groups, 0.2, seed=0)
    assert len(held_out) == 20
    assert set(groups[held_out]) == {1, 2}
    only = hold_out_groups(labels[:90], groups[:90], 0.01, seed=0)
    assert set(groups[only]) == {1}, "one at least, of which the share is nearer"
